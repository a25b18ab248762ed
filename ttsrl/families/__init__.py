"""Families of speech language models: prompt format, token ids <-> speech tokens. One file each.

May import base, errors and wire alone. May be imported by reward and the rooms above it.
"""
