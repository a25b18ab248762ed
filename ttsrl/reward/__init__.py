"""The reward as mathematics: components, gates, composition, specification.

Loads no model. Imports audio (for the waveform); what measures or configures imports it.
"""
