"""The reward service: utterances in, one typed outcome each out.

May import tracking and the rooms below it. May be imported by quickstart and the rooms above it.
"""
