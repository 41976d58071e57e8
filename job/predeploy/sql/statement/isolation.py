"""What a file says of its transactions: BEGIN ISOLATION LEVEL …, SET TRANSACTION …."""

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
    """Say what a BEGIN or a SET TRANSACTION asks for that no step can have; empty: nothing.

    A step writes its row in the ledger, so that it cannot be READ ONLY. DEFERRABLE means something
    only there, and cannot be set by SET TRANSACTION once there is a row.
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
    """Return what the BEGIN of a step has to say: what its file's own says, or SET TRANSACTION.

    That counts where only settings stand before it: PostgreSQL refuses it behind a query.
    """
    words = _BEGIN.sub("", begin.text, count=1).strip() if begin else ""
    for statement in statements:
        if statement.node != "variable_set_stmt":
            break
        if _SET.match(statement.text):
            more = _SET.sub("", statement.text, count=1)
            if _LEVEL.search(more):
                words = re.sub(r"^[\s,]+|[\s,]+$", "", _LEVEL.sub("", words))
            words = f"{words}, {more}" if words else more
    return " ".join(words.split())
