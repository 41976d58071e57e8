"""Reads schema files: which statements declare objects, which ones, and in what order they run.

No facts are made here: PostgreSQL itself loads the declarations in a shadow.
"""
