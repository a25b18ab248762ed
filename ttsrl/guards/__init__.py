"""Guards: rules on a run's log that tell when training goes wrong. Records in, findings out.

May import data and the rooms below it. May be imported by evaluation and the rooms above it.
"""
