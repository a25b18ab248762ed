"""A run on Kubernetes: what a Helm release holds, starting its jobs, watching them.

May import tracking and the rooms below it. May be imported by quickstart and the rooms above it.
"""
