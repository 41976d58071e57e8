"""How steps run: alone, together, statement by statement, watched, outside a transaction.

`execute` is the only door. How each is delivered was decided before, in `judgment`.
"""
