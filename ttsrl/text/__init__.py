"""Text as it is spoken and compared: normalisation per language, CER, WER, pinyin.

May import runtime and the modules below it. May be imported by reward and the rooms above it.
"""
