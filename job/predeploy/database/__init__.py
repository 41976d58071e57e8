"""Effects: the only package that talks to PostgreSQL. It takes plans and returns results."""
