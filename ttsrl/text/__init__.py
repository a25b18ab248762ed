"""Text as it is spoken and compared: normalisation per language, CER, WER, pinyin.

May import runtime and the rooms below it. May be imported by audio, families, sampler and storage
and the rooms above them.
"""
