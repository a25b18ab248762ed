"""Running work on one machine: jobs as processes, progress, exit codes, what the machine has.

May import base, errors and wire alone. May be imported by reward and the rooms above it.
"""
