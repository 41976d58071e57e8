"""The parser, and the checks that a text must pass before it: tokens, offsets, nesting depth.

What a statement means belongs in `sql/statement`.
"""
