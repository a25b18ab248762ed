"""Scorers: waveforms -> raw scores. One file per measurement, chosen in registry.py.

Imports audio, text, reward, models and codecs.
"""
