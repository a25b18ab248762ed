"""Text as it is spoken and compared: normalisation per language, CER, WER, pinyin.

Imports nothing of ttsrl but its errors.
"""
