"""Calls of built-in functions that a hardened server may have revoked from PUBLIC.

The EXECUTE privilege is checked before a statement runs, even in a CASE branch that is not taken.
So the call is in a separate text, which is executed only if it is allowed. `ts_stat` is the one
function on every server that executes such a text and returns its result.
"""

from predeploy.contract.quoting import literal


def where_allowed(function: str, value: str = "'called'") -> str:
    """Return an SQL expression: `value` of a row of the function, as text.

    The expression is NULL if the function may not be called. `function` is a call without
    arguments.
    """
    read = f"select pg_catalog.array_to_tsvector(array[{value}::text]) from {function} f"
    return (
        "(select s.word from pg_catalog.ts_stat(case when pg_catalog.has_function_privilege("
        f"{literal(function)}, 'execute') then {literal(read)} "
        "else 'select null::pg_catalog.tsvector' end) s)"
    )
