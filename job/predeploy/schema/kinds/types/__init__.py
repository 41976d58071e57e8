"""Types, and what belongs to them: casts, collations, text search, sequences."""
