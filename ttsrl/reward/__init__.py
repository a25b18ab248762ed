"""The reward as mathematics: components, gates, composition, specification. Loads no model.

May import audio, families, sampler and storage and the rooms below them. May be imported by config
and the rooms above it.
"""
