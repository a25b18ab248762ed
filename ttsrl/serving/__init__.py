"""The reward service: utterances in, one typed outcome each out.

May import client, guards and synthesis and the rooms below them. May be imported by quickstart and
the rooms above it.
"""
