"""What the statements of files come to, together: made, renamed, dropped, undone, filled.

Names in their order, by text alone; what is there is for `database` to say.
"""
