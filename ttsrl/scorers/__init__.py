"""Scorers: waveforms -> raw scores. One file per measurement, chosen in registry.py.

May import codecs and the rooms below it. May be imported by data and the rooms above it.
"""
