"""What a single statement is and does; each module answers one question.

The combined effect of several statements is in `sql/outcome`.
"""
