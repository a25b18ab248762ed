"""Sampling from a language model in plain torch. README.md has the invariants.

May import text and the rooms below it. May be imported by reward and the rooms above it.
"""
