"""The configuration of a run: schema, loading, and how mistakes in it are explained.

Imports reward and families; everything that needs a run imports it.
"""
