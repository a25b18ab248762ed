"""The user's texts and recordings -> prompts and speech tokens for training.

May import codecs and the rooms below it. May be imported by scorers and the rooms above it.
"""
