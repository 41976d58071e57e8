"""The difference of two schemas, and the reports about it.

The rules of a single kind of object are in `schema/kinds`; here are those that concern all kinds.
"""
