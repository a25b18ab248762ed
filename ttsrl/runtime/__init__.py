"""Running work on one machine: jobs as processes, progress, exit codes, what the machine has.

May import base, errors, facts and wire alone. May be imported by audio, families, sampler,
storage, text and the rooms above them.
"""
