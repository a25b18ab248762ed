"""Texts and recordings of the user -> prompts and speech tokens for training.

Imports audio, text, families, config, models and codecs.
"""
