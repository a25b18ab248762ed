"""Families of speech-generating models: prompt format, token id <-> speech token. One file each.

Imports nothing of ttsrl but its errors.
"""
