"""Lines of text files as users have them: UTF-8 with or without a BOM, gzip or not, JSON, tables.

May import base, errors, facts and wire. May be imported by records and the rooms above it.
"""
