"""The parser, and what has to be known of a text before it may see it: tokens, places, depth.

No meaning of a statement: that is `sql/statement`.
"""
