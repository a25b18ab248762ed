"""Text -> speech tokens -> waveform, for evaluation and for `ttsrl say`.

May import data and the rooms below it. May be imported by evaluation and the rooms above it.
"""
