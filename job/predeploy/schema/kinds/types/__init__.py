"""Types and related objects: casts, collations, text search, sequences."""
