"""What a schema is made of, as facts that can be compared. No database: the queries are data."""
