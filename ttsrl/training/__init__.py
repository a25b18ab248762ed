"""Training by verl: configuration, rollouts, advantages, the step log, checkpoints.

May import client, guards and synthesis and the rooms below them. May be imported by quickstart and
the rooms above it.
"""
