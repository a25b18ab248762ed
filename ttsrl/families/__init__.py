"""Families of speech language models: prompt format, token ids <-> speech tokens. One file each.

May import text and the rooms below it. May be imported by reward and the rooms above it.
"""
