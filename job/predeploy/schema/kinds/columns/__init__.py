"""Columns: added, retyped, numbered, inherited."""
