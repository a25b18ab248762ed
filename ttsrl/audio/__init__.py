"""Audio: reading recordings, waveforms in memory, degrading them on purpose.

May import text and the rooms below it. May be imported by reward and the rooms above it.
"""
