"""Evaluation of a run's models: suites, judges, intervals, merged checkpoints, the report.

May import client, guards and synthesis and the rooms below them. May be imported by tracking and
the rooms above it.
"""
