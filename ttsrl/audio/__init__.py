"""Audio: reading recordings, waveforms in memory, degrading them on purpose.

May import runtime and the modules below it. May be imported by reward and the rooms above it.
"""
