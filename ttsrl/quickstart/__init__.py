"""The whole path on one machine: prepare, evaluate, train, publish, pull, evaluate, report.

May import kube, prefer, serving and training and the rooms below them. May be imported by cli and
the rooms above it.
"""
