"""Codecs: speech tokens of one codebook <-> waveform. One file per codec, chosen in registry.py.

May import models and the rooms below it. May be imported by scorers and the rooms above it.
"""
