"""The combined effect of a folder's statements: what is made, renamed, dropped, undone, filled.

Works on names and their order, from the text alone; `database` looks at the live objects.
"""
