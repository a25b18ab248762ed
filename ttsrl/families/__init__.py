"""Families of speech language models: prompt format, token ids <-> speech tokens. One file each.

May import runtime and the modules below it. May be imported by reward and the rooms above it.
"""
