"""What a run writes down, as typed records, and the one place that reads and writes their files.

May import lines and the rooms below it. May be imported by runtime and the rooms above it.
"""
