"""Running work on one machine: jobs as processes, progress, exit codes, what the machine has.

May import records and the rooms below it. May be imported by text and the rooms above
it.
"""
