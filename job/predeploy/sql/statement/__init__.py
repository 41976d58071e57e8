"""What one statement is and does, by itself: a question to each module.

What several statements come to is `sql/outcome`.
"""
