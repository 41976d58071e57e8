"""Refuses SQL of predeploy that looks up names where other roles could have created objects.

There are two checks. `complaints` reads the queries that a job has sent, follows the search_path
from statement to statement, and is strict while that is not predeploy's. As a program, run by
`make lint`, this module reads predeploy's source: every piece of SQL must name relations with their
schema.
"""

import ast
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import postgast
from google._upb import _message
from google.protobuf.message import Message
from postgast import pg_query_pb2 as pb

ROOT = Path(__file__).resolve().parent.parent / "job"
OURS = "pg_catalog, pg_temp"
_message.SetAllowOversizeProtos(True)  # noqa: FBT003 - a foreign function; predeploy's queries nest deeply

# Each of these contains an operator that cannot be qualified with its schema.
_UNNAMEABLE = {
    pb.AEXPR_IN: "IN",
    pb.AEXPR_NULLIF: "NULLIF",
    pb.AEXPR_DISTINCT: "IS DISTINCT FROM",
    pb.AEXPR_NOT_DISTINCT: "IS NOT DISTINCT FROM",
    pb.AEXPR_LIKE: "LIKE",
    pb.AEXPR_ILIKE: "ILIKE",
    pb.AEXPR_SIMILAR: "SIMILAR TO",
    pb.AEXPR_BETWEEN: "BETWEEN",
    pb.AEXPR_NOT_BETWEEN: "NOT BETWEEN",
    pb.AEXPR_BETWEEN_SYM: "BETWEEN SYMMETRIC",
    pb.AEXPR_NOT_BETWEEN_SYM: "NOT BETWEEN SYMMETRIC",
}


def nodes(node: Message) -> Iterator[Message]:
    """Yield all nodes of a tree."""
    yield node
    for field, value in node.ListFields():
        if field.message_type is None:
            continue
        for child in value if field.is_repeated else [value]:
            yield from nodes(child)


def words(names: Iterable[pb.Node]) -> tuple[str, ...]:
    """Return the parts of a qualified name."""
    return tuple(name.string.sval for name in names)


def calls(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield the calls in a text: `function` or `operator`, the name, the number of arguments."""
    for node in nodes(postgast.parse(text)):
        match node:
            case pb.FuncCall():
                yield "function", words(node.funcname)[-1], len(node.args)
            case pb.A_Expr():
                sign = words(node.name)[-1]
                yield "operator", sign, 2 if node.HasField("lexpr") else 1
            case pb.SubLink() if node.sub_link_type in (pb.ANY_SUBLINK, pb.ALL_SUBLINK):
                yield "operator", (words(node.oper_name) or ("=",))[-1], 2
            case pb.CaseExpr() if node.HasField("arg"):
                yield "operator", "=", 2


class _Path:
    """Follows the statements of a connection to know whether the search_path is predeploy's."""

    def __init__(self) -> None:
        self.is_ours = False
        self.is_open = False
        self._is_ours_in_session = False
        self._saved: list[tuple[str, bool]] = []

    def end_of_message(self) -> None:
        if not self.is_open:
            self.is_ours = self._is_ours_in_session

    def follow(self, statement: pb.Node, text: str) -> None:
        if statement.HasField("transaction_stmt"):
            self._transaction(statement.transaction_stmt)
        elif statement.HasField("variable_set_stmt"):
            setting = statement.variable_set_stmt
            if setting.kind == pb.VAR_RESET_ALL:
                self.is_ours = False
            elif setting.name == "search_path":
                names = (arg.a_const.sval.sval for arg in setting.args)
                self.is_ours = ", ".join(names) == OURS
                if not setting.is_local:
                    self._is_ours_in_session = self.is_ours
        elif f"'search_path', '{OURS}'" in text and text.startswith("select pg_catalog."):
            self.is_ours = True

    def _transaction(self, statement: pb.TransactionStmt) -> None:
        match statement.kind:
            case pb.TRANS_STMT_BEGIN | pb.TRANS_STMT_START:
                self.is_open = True
            case pb.TRANS_STMT_SAVEPOINT:
                self._saved.append((statement.savepoint_name, self.is_ours))
            case pb.TRANS_STMT_ROLLBACK_TO:
                found = (
                    ours for name, ours in self._saved[::-1] if name == statement.savepoint_name
                )
                self.is_ours = next(found, self.is_ours)
            case pb.TRANS_STMT_RELEASE:
                # may be missing if a message failed before it, because errors are not seen here
                self._saved = self._saved[:-1]
            case _:
                self.is_open, self.is_ours = False, self._is_ours_in_session
                self._saved.clear()


def complaints(messages: Sequence[str], theirs: Collection[str] = ()) -> Iterator[str]:
    """Yield what is wrong with the messages of one connection.

    `theirs` are the operator's statements, from the files, which are not judged. Neither are the
    probes, which are built from the text of these statements.
    """
    path = _Path()
    for message in messages:
        for raw in postgast.parse(message).stmts:
            encoded = message.encode()
            end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(encoded)
            # a placeholder in a file may be longer than the parameter that is sent for it
            text = " ".join(encoded[raw.stmt_location : end].decode().strip("; \n").split())
            if text not in theirs and "predeploy_probe" not in text:
                for why in (*_unqualified(raw.stmt), *([] if path.is_ours else _open(raw.stmt))):
                    yield f"{why} in: {text[:300]!r}"
            path.follow(raw.stmt, text)
        path.end_of_message()


def _unqualified(statement: pb.Node) -> Iterator[str]:
    """Yield the relations without a schema, and the new functions that do not set a search_path."""
    ctes = {node.ctename for node in nodes(statement) if isinstance(node, pb.CommonTableExpr)}
    for node in nodes(statement):
        match node:
            case pb.RangeVar() if not node.schemaname and node.relname not in ctes:
                if node.relpersistence != "t":
                    yield f"relation {node.relname} without a schema"
            # Functions in public belong to the app: schema.sql declares them.
            case pb.CreateFunctionStmt() if words(node.funcname)[0] != "public":
                settings = [o.def_elem.arg.variable_set_stmt for o in node.options]
                carried = [s.args for s in settings if s.name == "search_path"]
                names = [arg.a_const.sval.sval for args in carried for arg in args]
                if ", ".join(names) != OURS:
                    yield f"function {'.'.join(words(node.funcname))} without our search_path"


def _open(statement: pb.Node) -> Iterator[str]:
    """Yield what would be looked up on a search_path that is not predeploy's."""
    for node in nodes(statement):
        match node:
            case pb.FuncCall() if len(node.funcname) == 1:
                yield f"function {words(node.funcname)[0]} without a schema"
            case pb.TypeName() if len(node.names) == 1:
                yield f"type {words(node.names)[0]} without a schema"
            case pb.A_Expr() if node.kind in _UNNAMEABLE:
                yield f"{_UNNAMEABLE[node.kind]}, whose operator cannot be named"
            case pb.A_Expr() if len(node.name) == 1:
                yield f"operator {words(node.name)[0]} without a schema"
            case pb.SubLink() if node.sub_link_type in (pb.ANY_SUBLINK, pb.ALL_SUBLINK):
                if len(node.oper_name) != 2:
                    yield "IN or ANY of a query, whose operator is not named"
            case pb.CaseExpr() if node.HasField("arg"):
                yield "CASE x WHEN, whose operator cannot be named"
            case pb.JoinExpr() if node.using_clause or node.is_natural:
                yield "USING, whose operator cannot be named"


# In the source: a name after one of these words is a relation, unless it is a function call.
_SQL = re.compile(r"\b(?:select|insert into|delete from|update \S+ set)\b")
_RELATION = re.compile(
    r"(?<!distinct )\b(?:from|join|insert into|update|delete from) +(?:only +|lateral +)*"
    r"(?P<name>[a-z_][a-z_0-9]*)\b(?!\s*[.(]|\{)(?! +set +[a-z_]+ to)"
)
_NAMED_QUERY = re.compile(r"([a-z_]+) *(?:\([^()]*\))? as (?:materialized )?\(")
_EXTRACTED = re.compile(r"\b(?:extract\(\w+|substring\([^()]*|trim\(\w+) +from\b")
_KEYWORDS = frozenset({"lateral", "select", "values", "where", "on", "set", "public", "within"})


def _texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield each string that is not a docstring with its line; placeholders become `{}`."""
    formatted = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    parts = {id(part) for node in formatted for part in ast.walk(node) if part is not node}
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body and isinstance(node.body[0], ast.Expr)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            filled = (str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
            yield node.lineno, "".join(filled)
        elif isinstance(node, ast.Constant) and id(node) not in parts | docs:
            yield node.lineno, str(node.value)


def source_complaints(root: Path = ROOT) -> Iterator[str]:
    """Yield the relations that the source names without a schema, with their places."""
    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text())
        pieces = [(line, text) for line, text in _texts(tree) if _SQL.search(text)]
        known = {name for _, text in pieces for name in _NAMED_QUERY.findall(text)} | _KEYWORDS
        for line, text in pieces:
            plain = _EXTRACTED.sub("extract(", text)
            for found in _RELATION.finditer(plain):
                if (name := found["name"]) not in known:
                    yield f"{path.relative_to(root.parent)}:{line}: {name} without a schema"


if __name__ == "__main__":
    wrong = list(source_complaints())
    sys.stdout.writelines(f"{why}\n" for why in wrong)
    sys.exit(bool(wrong))
