"""Names and values as SQL text: the one definition of quoting."""

FIRST_USER_OID = 16384
"""The smallest OID of an object that initdb has not made (FirstNormalObjectId)."""


def identifier(*parts: str) -> str:
    """Quote the parts of a name and join them by dots."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(value: str) -> str:
    """Quote a value, whatever `standard_conforming_strings` is.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE
    """
    quoted = "'" + value.replace("'", "''").replace("\\", "\\\\") + "'"
    return f"E{quoted}" if "\\" in value else quoted
