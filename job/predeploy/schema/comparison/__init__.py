"""The difference of two schemas, and what is to be said of it.

What one kind of object needs is in `schema/kinds`; here is what concerns all of them.
"""
