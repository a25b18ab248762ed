"""Text -> speech tokens -> waveform, for evaluation and for `ttsrl say`.

May import data and the rooms below it. May be imported by evaluation, kube, prefer, serving and
training and the rooms above them.
"""
