"""The reward as mathematics: components, gates, composition, specification. Loads no model.

May import audio, families, sampler, storage and text. May be imported by config and the
rooms above it.
"""
