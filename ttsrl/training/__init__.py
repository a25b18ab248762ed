"""Training by verl: configuration, rollouts, advantages, the step log, checkpoints.

May import tracking and the rooms below it. May be imported by quickstart and the rooms above it.
"""
