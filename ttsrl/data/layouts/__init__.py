"""Corpora as their authors publish them: one file per layout."""
