"""Codecs: speech tokens of one codebook <-> waveform. One file per codec, chosen in registry.py.

Imports audio and models.
"""
