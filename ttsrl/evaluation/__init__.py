"""Evaluation of a run's models: suites, judges, intervals, merged checkpoints, the report.

May import client, guards and synthesis and the rooms below them. May be imported by kube, prefer,
serving and training and the rooms above them.
"""
