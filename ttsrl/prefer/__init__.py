"""Learned preference: listeners compare clips on an offline page, a head learns their choices.

May import tracking and the rooms below it. May be imported by quickstart and the rooms above it.
"""
