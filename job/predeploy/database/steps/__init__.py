"""Runs steps: alone, together, statement by statement, watched, or outside a transaction.

`execute` is the only entry point. How each step is delivered was decided before, in `judgment`.
"""
