"""Points everything in a statement that names some schemas at schemas of other names.

The scanner shows the names, the parser what is none: the alias of a table may be called as a schema
is. In literals and bodies a name is followed only where it is certain that it is one: the text of a
regclass, the body of a function in SQL or PL/pgSQL, its search_path. What is left out still means
the old schema, which whoever runs the statement has to look for.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from job.statements.qualifiers import Qualified, Word, heads, is_dot, prefixed, words_of
from job.statements.targets import Name
from job.statements.tree import nodes_of

# Types whose text is the name of an object, and functions that take such a text.
_NAMING_TYPES = frozenset(
    ("regclass", "regtype", "regproc", "regprocedure", "regoper", "regoperator", "regcollation",
     "regconfig", "regdictionary")
)  # fmt: skip
_NAMING_FUNCTIONS = frozenset(("nextval", "currval", "setval"))
_ON_SCHEMAS = (
    pb.GrantStmt, pb.CommentStmt, pb.AlterDefaultPrivilegesStmt, pb.CreateExtensionStmt,
)  # fmt: skip
_COMMA = pb.ASCII_44
_COLUMN_OF_A_TABLE = 2


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas whose names are to be changed, and what in them keeps its own."""

    names: AbstractSet[str]
    kept: AbstractSet[Name]

    def holds(self, schema: str, name: str) -> bool:
        """Whether a qualified name is to be changed."""
        return schema in self.names and (schema, name) not in self.kept


def repoint(text: str, schemas: Schemas, prefix: str) -> Qualified:
    """Put `prefix` before every one of `schemas` that the statement names."""
    if not _may_name(text, schemas):
        return Qualified(text, prefix, ())
    return prefixed(text, prefix, _in_sql(text, schemas))


def strays(text: str, schemas: Schemas) -> bool:
    """Whether a statement names a relation of one of `schemas`, or the parser cannot tell."""
    if not _may_name(text, schemas):
        return False
    try:
        nodes = nodes_of(text)
    except postgast.PgQueryError:
        return True
    return any(
        isinstance(node, pb.RangeVar) and schemas.holds(node.schemaname, node.relname)
        for node in nodes
    )


def _may_name(text: str, schemas: Schemas) -> bool:
    """Whether to look closer: a name stands in the text, or could be written in escapes."""
    folded = text.lower()
    written = (name.lower().replace('"', '""') for name in schemas.names)
    return "u&" in folded or any(name in folded for name in written)


def _places(text: str, schemas: Schemas) -> Iterator[int]:
    """Yield where one of the schemas is named, in bytes."""
    words = words_of(text)
    nodes = nodes_of(text)
    columns = {n.location for n in nodes if _is_column_of_a_table(n)}
    for i in heads(words):
        is_column = words[i].start in columns or _is_column_in_a_list(words, i)
        if not is_column and schemas.holds(words[i].folded, words[i + 2].folded):
            yield words[i].inner
    if any(isinstance(node, _ON_SCHEMAS) for node in nodes):
        yield from _listed(words, schemas)
    at = {word.start: word for word in words}
    for node in nodes:
        if isinstance(node, pb.VariableSetStmt) and node.name == "search_path":
            yield from _in_path(node, at, schemas)
        elif isinstance(node, (pb.TypeCast, pb.FuncCall)):
            yield from _in_literal(node, at, schemas)
        elif isinstance(node, pb.CreateFunctionStmt):
            yield from _in_body(node, words, schemas)


def _is_column_of_a_table(node: Any) -> bool:
    """Whether the first of two names is one of a table: `t.a`, or the type `t.a%TYPE`."""
    if isinstance(node, pb.ColumnRef):
        return len(node.fields) == _COLUMN_OF_A_TABLE
    is_of_a_column = isinstance(node, pb.TypeName) and node.pct_type
    return bool(is_of_a_column and len(node.names) == _COLUMN_OF_A_TABLE)


def _is_column_in_a_list(words: tuple[Word, ...], i: int) -> bool:
    """Whether it is the table in OWNED BY t.a or COMMENT ON COLUMN t.a."""
    if i + 3 < len(words) and is_dot(words[i + 3]):
        return False
    before = tuple(word.kind for word in words[max(i - 2, 0) : i])
    return before in ((pb.OWNED, pb.BY), (pb.ON, pb.COLUMN))


def _listed(words: tuple[Word, ...], schemas: Schemas) -> Iterator[int]:
    """Yield the schemas behind the word SCHEMA, separated by commas."""
    for i, word in enumerate(words):
        if word.kind != pb.SCHEMA:
            continue
        for name, behind in zip(words[i + 1 :: 2], (*words[i + 2 :: 2], None), strict=False):
            if name.folded in schemas.names:
                yield name.inner
            if behind is None or behind.kind != _COMMA:
                break


def _in_path(node: Any, at: dict[int, Word], schemas: Schemas) -> Iterator[int]:
    for arg in node.args:
        word = at.get(arg.a_const.location)
        name = arg.a_const.sval.sval
        if word and name in schemas.names and name in (word.folded, word.text[1:-1]):
            yield word.inner


def _in_literal(node: Any, at: dict[int, Word], schemas: Schemas) -> Iterator[int]:
    """Yield the schemas in a literal that is the name of an object, and is written plainly."""
    if isinstance(node, pb.TypeCast):
        is_name, arg = node.type_name.names[-1].string.sval in _NAMING_TYPES, node.arg
    else:
        is_name = node.funcname[-1].string.sval in _NAMING_FUNCTIONS and bool(node.args)
        arg = node.args[0] if is_name else None
    if not is_name or arg.WhichOneof("node") != "a_const":
        return
    constant = arg.a_const
    word = at.get(constant.location)
    if word is None or word.text != f"'{constant.sval.sval}'":
        return
    yield from (word.start + 1 + place for place in _in_names(constant.sval.sval, schemas))


def _in_names(text: str, schemas: Schemas) -> Iterator[int]:
    try:
        words = words_of(text)
    except postgast.PgQueryError:
        return
    for i in heads(words):
        if schemas.holds(words[i].folded, words[i + 2].folded):
            yield words[i].inner


def _in_body(node: Any, words: tuple[Word, ...], schemas: Schemas) -> Iterator[int]:
    """Yield the schemas in the body of a function that is written as text."""
    options = {option.def_elem.defname: option.def_elem for option in node.options}
    body, language = options.get("as"), options.get("language")
    if body is None or language is None or len(body.arg.list.items) != 1:
        return
    word = next((w for w in words if w.kind == pb.SCONST and w.start > body.location), None)
    if word is None:
        return
    value = body.arg.list.items[0].string.sval
    match language.arg.string.sval.lower():
        case "sql":
            found = _in_sql(value, schemas)
        case "plpgsql":
            found = _in_plpgsql(value, schemas)
        case _:
            return
    yield from _in_word(word, value, found)


def _in_sql(body: str, schemas: Schemas) -> Iterable[int]:
    try:
        return list(_places(body, schemas))
    except postgast.PgQueryError:
        return ()


def _in_plpgsql(body: str, schemas: Schemas) -> Iterable[int]:
    """Look for names by the scanner alone: none where a schema's is a variable's, too."""
    try:
        words = words_of(body)
    except postgast.PgQueryError:
        return ()
    first = set(heads(words))
    others = {word.folded for i, word in enumerate(words) if i not in first}
    certain = Schemas(schemas.names - others, schemas.kept)
    return [words[i].inner for i in first if certain.holds(words[i].folded, words[i + 2].folded)]


def _in_word(word: Word, value: str, offsets: Iterable[int]) -> Iterator[int]:
    """Turn offsets in a literal's value into offsets in the file; nothing behind an escape."""
    raw, inside = word.text.encode(), value.encode()
    if word.text.startswith("$"):
        begin = raw.index(b"$", 1) + 1
        yield from (word.start + begin + offset for offset in offsets)
    elif word.text.startswith("'") and raw[1:-1].replace(b"''", b"'") == inside:
        yield from (word.start + 1 + n + inside.count(b"'", 0, n) for n in offsets)
