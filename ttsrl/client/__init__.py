"""The only code that speaks HTTP to the reward service, and what other trainers use of it.

Imports reward, config and wire.
"""
