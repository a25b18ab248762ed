"""Audio: reading recordings, waveforms in memory, degrading them on purpose.

Imports nothing of ttsrl but its errors.
"""
