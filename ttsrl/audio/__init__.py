"""Audio: reading recordings, waveforms in memory, degrading them on purpose.

May import base, errors and wire alone. May be imported by reward and the rooms above it.
"""
