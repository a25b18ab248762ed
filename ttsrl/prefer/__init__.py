"""Learned preference: listeners compare clips on an offline page, a head learns their choices.

May import client, guards and synthesis and the rooms below them. May be imported by quickstart and
the rooms above it.
"""
