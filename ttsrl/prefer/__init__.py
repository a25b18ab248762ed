"""Learned preference: listeners compare clips on an offline page, a head learns what they like."""
