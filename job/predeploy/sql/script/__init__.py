"""Splits a script into statements, and handles comments, COPY data and psql commands.

How a file becomes steps is decided in `sources/steps`.
"""
