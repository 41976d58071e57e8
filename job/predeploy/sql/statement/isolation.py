"""What a file says about its transactions: BEGIN ISOLATION LEVEL …, SET TRANSACTION …."""

import re
from collections.abc import Iterable
from typing import Any

from predeploy.contract.statement import Statement

_BEGIN = re.compile(r"(?:begin|start)(?:\s+(?:work|transaction))?", re.IGNORECASE)
_SET = re.compile(r"set\s+(?:local\s+)?transaction\s+(?!snapshot\b)", re.IGNORECASE)
_LEVEL = re.compile(
    r"isolation\s+level\s+(serializable|repeatable\s+read|read\s+(?:un)?committed)", re.IGNORECASE
)


def why_impossible(node: str, stmt: Any) -> str:
    """Return the option of a BEGIN or SET TRANSACTION that no step can have; empty if none.

    A step writes its row in the ledger, so it cannot be READ ONLY. DEFERRABLE has an effect only in
    a READ ONLY transaction, and SET TRANSACTION cannot set it once a row is written.
    """
    is_set = node == "variable_set_stmt"
    if is_set and stmt.name not in ("TRANSACTION", "TRANSACTION SNAPSHOT"):
        return ""
    if is_set and stmt.name == "TRANSACTION SNAPSHOT":
        return "SET TRANSACTION SNAPSHOT"
    said = [option.def_elem for option in (stmt.args if is_set else stmt.options)]
    what = "SET TRANSACTION" if is_set else "BEGIN"
    for option in said:
        if option.defname == "transaction_read_only" and option.arg.a_const.ival.ival:
            return f"{what} READ ONLY"
        if option.defname == "transaction_deferrable" and is_set:
            return f"{what} DEFERRABLE"
    return ""


def isolation(begin: Statement | None, statements: Iterable[Statement]) -> str:
    """Return the options for a step's BEGIN: those of the file's own BEGIN or SET TRANSACTION.

    A SET TRANSACTION counts if only settings precede it: PostgreSQL refuses it after a query.
    """
    words = _BEGIN.sub("", begin.text, count=1).strip() if begin else ""
    for statement in statements:
        if statement.node != "variable_set_stmt":
            break
        if _SET.match(statement.text):
            more = _SET.sub("", statement.text, count=1)
            # A level set by SET TRANSACTION overrides that of BEGIN.
            if _LEVEL.search(more):
                words = re.sub(r"^[\s,]+|[\s,]+$", "", _LEVEL.sub("", words))
            words = f"{words}, {more}" if words else more
    return " ".join(words.split())
