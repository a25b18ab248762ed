"""Scorers: waveforms -> raw scores. One file per measurement, chosen in registry.py.

May import data and the rooms below it. May be imported by client and synthesis and the rooms above
them.
"""
