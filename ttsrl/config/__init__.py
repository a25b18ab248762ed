"""The configuration of a run: schema, loading, and explanations of mistakes in it.

May import reward and the rooms below it. May be imported by models and the rooms above it.
"""
