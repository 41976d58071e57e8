"""What a step can remove, and what a declaration allows it to remove. Pure.

Values are compared and judged by name; `database/sentinel` reads them from the database.
"""
