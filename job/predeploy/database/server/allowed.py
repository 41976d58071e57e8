"""Calls of PostgreSQL's own functions that a hardened server may have revoked from everybody.

The right to call a function is checked before a statement runs, whatever a CASE in it says. So the
call stands in a text of its own, which is only read where it is allowed. Of what reads such texts,
`ts_stat` is the one that every server has, and that returns what it has read.
"""

from predeploy.contract.quoting import literal


def where_allowed(function: str, value: str = "'called'") -> str:
    """Return an expression: what `value` is of a row of the function, as text.

    Null where it may not be called. `function` is a call without arguments.
    """
    read = f"select pg_catalog.array_to_tsvector(array[{value}::text]) from {function} f"
    return (
        "(select s.word from pg_catalog.ts_stat(case when pg_catalog.has_function_privilege("
        f"{literal(function)}, 'execute') then {literal(read)} "
        "else 'select null::pg_catalog.tsvector' end) s)"
    )
