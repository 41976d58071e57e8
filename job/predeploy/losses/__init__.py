"""What a step can take away, and what a declaration allows it. Pure.

Values that are compared and judged by name; who looks at a database is `database/sentinel`.
"""
