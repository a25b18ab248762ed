"""A run on Kubernetes: what a Helm release holds, starting its jobs, watching them.

May import client, guards and synthesis and the rooms below them. May be imported by quickstart and
the rooms above it.
"""
