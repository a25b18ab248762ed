"""Text as it is spoken and compared: normalisation per language, CER, WER, pinyin.

May import base, errors and wire alone. May be imported by reward and the rooms above it.
"""
