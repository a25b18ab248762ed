"""The only HTTP client of the reward service, and a reward function for TRL.

May import data and the rooms below it. May be imported by evaluation and the rooms above it.
"""
