"""How a script falls into statements: comments, COPY data, lines for psql.

How a file becomes steps is `sources/steps`.
"""
