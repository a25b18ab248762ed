"""Sampling from a language model in plain torch. README.md has the invariants.

May import base, errors and wire alone. May be imported by reward and the rooms above it.
"""
