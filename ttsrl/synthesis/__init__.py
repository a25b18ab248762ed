"""Text -> speech tokens -> waveform, for evaluation and for `ttsrl say`.

Imports families, codecs, models, config, sampler and storage.
"""
