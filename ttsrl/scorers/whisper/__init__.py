"""Whisper: transcript and NLL of many utterances by one encoder pass each.

Imported by the registry of scorers; README.md has the invariants.
"""
