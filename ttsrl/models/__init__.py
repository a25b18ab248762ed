"""Models as folders and Hugging Face ids, checks of their weights, and conversion of checkpoints.

May import config and the rooms below it. May be imported by codecs and the rooms above it.
"""
