"""The contents of a schema as facts that can be compared. No database: the queries are data."""
