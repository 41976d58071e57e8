"""Wraps statements in one PL/pgSQL block, in which the server refuses transaction control.

EXECUTE accepts no COMMIT in any form, and what it runs cannot end the transaction either.
https://www.postgresql.org/docs/current/plpgsql-statements.html#PLPGSQL-STATEMENTS-EXECUTING-DYN An
INFO message reports which statement failed: such messages reach the client with any
client_min_messages, and are kept after a rollback.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import psycopg

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure
from predeploy.contract.quoting import identifier, literal
from predeploy.contract.secret import redact
from predeploy.database.server.failure import exit_code_of, is_race, remedy_for, secrets_in, shown
from predeploy.database.server.path import OURS
from predeploy.sql.parser.names import Name
from predeploy.sql.schema_file.prepared import DesiredStatement

# Errors that may only mean a wrong order: 42P01 and the like, a key before the one that it refers
# to (42830), a view before the primary key that it groups by (42803).
ORDER_CODES = ("42P01", "42883", "42704", "42703", "3F000", "42830", "42803")
# What a function's body may lack and still be accepted unchecked: a name, but not a column.
NAME_CODES = ("42P01", "42883", "42704", "3F000")
_UNDEFINED = "42704"
_NO_ROLE = "fix its name, or make the role first, apart from the schema: it belongs to the server"
_NO_CONSTRAINT = (
    "fix its name, or declare it; a NOT NULL is a constraint since PostgreSQL 18: before that, "
    "comment on its column"
)
_MISSING = (
    "fix the name, or declare what it means; what an extension brings needs its CREATE EXTENSION"
)
_REMEDIES_FOR_NAMES = {"role": _NO_ROLE, "constraint": _NO_CONSTRAINT}
_REMEDIES = {
    "55P04": "write the value into the CREATE TYPE … AS ENUM; then it can be used",
    "3F000": "fix its name, or declare it; or, where others make it, have them do so first",
    "42P07": "declare it once",
    "42710": "declare it once",
    "42701": "declare it once",
    "42723": "declare it once",
}
NOTHING_CHANGED = "nothing was changed: the shadow is always rolled back"


@dataclass(frozen=True, slots=True)
class Block:
    """A DO statement, and the offset (in characters) of each statement's text in it.

    `mark` is a word that occurs in no file: it quotes the statements, starts the block's own
    messages, and is removed from the server's messages.
    """

    sql: str
    mark: str
    statements: tuple[DesiredStatement, ...]
    starts: tuple[int, ...]

    def behind(self, opening: Sequence[str]) -> "Block":
        """Return the block with statements before it: the server's positions include them."""
        before = "".join(f"{sql};\n" for sql in opening)
        starts = tuple(start + len(before) for start in self.starts)
        return replace(self, sql=before + self.sql, starts=starts)

    def failed(self, notices: Sequence[str]) -> int | None:
        """Return the number of the failed statement as the block reported it, or None."""
        told = [m for m in (re.match(rf"{self.mark} at (\d+)$", n) for n in notices) if m]
        return int(told[-1][1]) if told else None

    def unchecked(self, notices: Sequence[str]) -> tuple[DesiredStatement, ...]:
        """Return the functions whose bodies could not be checked, as the block reported them."""
        told = (re.match(rf"{self.mark} unchecked (\d+)$", n) for n in notices)
        return tuple(self.statements[int(m[1])] for m in told if m)


class _Writer:
    def __init__(self, mark: str, statements: Sequence[DesiredStatement]) -> None:
        self.mark = mark
        # The padding makes every start larger than any offset within a function's text: `_offset`
        # relies on that.
        self.text = f"do ${mark}$" + " " * max(
            (len(s.text) for s in statements if s.node == "create_function_stmt"), default=0
        )
        self.starts: list[int] = []

    def add(self, text: str) -> None:
        self.text += text

    def quote(self, text: str) -> None:
        self.text += f"${self.mark}_text$"
        self.starts.append(len(self.text))
        self.text += f"{text}${self.mark}_text$"


def in_file_order(statements: Sequence[DesiredStatement], mark: str) -> Block:
    """Return a block that runs the statements once, in order, up to the first that fails."""
    writer = _Writer(mark, statements)
    writer.add(" declare i int := 0; begin\n")
    path = None
    for number, statement in enumerate(statements):
        writer.add(f"i := {number};")
        if statement.search_path != path:
            path = statement.search_path
            writer.add(_set("search_path", _path_sql(statement)))
        writer.add(" execute ")
        writer.quote(statement.text)
        writer.add(";\n")
    writer.add(_tell_and_raise(mark))
    return Block(writer.text, mark, tuple(statements), tuple(writer.starts))


def in_rounds(statements: Sequence[DesiredStatement], mark: str, names: Iterable[Name]) -> Block:
    """Return a block that runs the statements in any order that works, starting with the given.

    Each round retries what lacked something in the round before, and must make progress: first with
    the statements as they are, then by leaving one function's body unchecked. If that fails too,
    the block fails with the first statement that lacks something other than the files' own `names`:
    what lacks only those may fail as a consequence.
    """
    writer = _Writer(mark, statements)
    writer.add(" declare\n texts text[] := array[")
    for number, statement in enumerate(statements):
        writer.add("," if number else "")
        writer.quote(statement.text)
    paths = ", ".join(literal(_path_sql(statement)) for statement in statements)
    functions = [str(i) for i, s in enumerate(statements) if s.node == "create_function_stmt"]
    missing = " or ".join(f"sqlstate '{code}'" for code in ORDER_CODES)
    forms = ", ".join(literal(form) for form in as_said(names))
    unchecked = ", ".join(literal(code) for code in NAME_CODES)
    # The block's own expressions are predeploy's: only the statement runs with the file's path.
    run = f"""path := paths[i + 1]; run := texts[i + 1];
      perform pg_catalog.set_config('search_path', path, true); execute run;
      {_set("search_path", OURS)}"""
    writer.add(
        f"]::text[];\n paths text[] := array[{paths}]::text[];\n"
        f" functions int[] := array[{', '.join(functions)}]::int[];\n"
        f" todo int[] := array[{', '.join(str(i) for i in range(len(statements)))}]::int[];\n"
        f" codes text[] := pg_catalog.array_fill(''::text, array[{max(len(statements), 1)}]);\n"
        f" said text[] := codes; names text[] := array[{forms}]::text[];\n"
        f""" again int[]; i int := 0; j int; path text; run text; has_passed bool;
begin
loop
  again := '{{}}';
  foreach i in array todo loop
    begin
      {run}
    exception when {missing} then
      again := pg_catalog.array_append(again, i);
      codes[i + 1] := sqlstate;
      said[i + 1] := sqlerrm;
    end;
  end loop;
  exit when pg_catalog.cardinality(again) = 0;
  if pg_catalog.cardinality(again) = pg_catalog.cardinality(todo) then
    has_passed := false;
    {_set("check_function_bodies", "off")}
    foreach i in array again loop
      continue when has_passed or pg_catalog.array_position(functions, i) is null
        or codes[i + 1] not in ({unchecked});
      begin
        {run}
        has_passed := true;
        again := pg_catalog.array_remove(again, i);
        raise info '{writer.mark} unchecked %', i;
      exception when {missing} then
        null;
      end;
    end loop;
    {_set("check_function_bodies", "on")}
    if not has_passed then
      i := again[1];
      foreach j in array again loop
        if not exists (
          select from pg_catalog.unnest(names) n where pg_catalog.strpos(said[j + 1], n) > 0
        ) then
          i := j;
          exit;
        end if;
      end loop;
      {run}
    end if;
  end if;
  todo := again;
end loop;
"""
    )
    writer.add(_tell_and_raise(mark))
    return Block(writer.text, mark, tuple(statements), tuple(writer.starts))


def failure_in(block: Block, error: psycopg.Error, notices: Sequence[str]) -> Failure:
    """Return the server's error with the statement that failed and its position in the file."""
    index = block.failed(notices)
    sqlstate = error.sqlstate or ""
    exit_code, raced = exit_code_of(error, ExitCode.BAD_SOURCES), is_race(error)
    message = error.diag.message_primary or "the server said nothing about it"
    message = message.replace(block.mark, "")
    if index is None:
        remedy = remedy_for(error)
        return Failure(
            exit_code, "schema.sql", 0, 0, sqlstate, message, remedy=remedy, is_race=raced
        )
    statement = block.statements[index]
    line, column = _place(block, index, error)
    text = statement.text.replace(block.mark, "")
    hidden = secrets_in(text)
    return Failure(
        exit_code=exit_code,
        path=statement.path,
        line=line,
        column=column,
        sqlstate=sqlstate,
        message=redact(message, hidden),
        detail="" if hidden else (error.diag.message_detail or "").replace(block.mark, ""),
        remedy=_remedy(error),
        statement=shown(text),
        remains=NOTHING_CHANGED,
        is_race=raced,
    )


def _remedy(error: psycopg.Error) -> str:
    """Return what to do about a statement that the server refused."""
    diag, sqlstate = error.diag, error.sqlstate or ""
    if sqlstate == _UNDEFINED:
        what = (diag.message_primary or "").partition(" ")[0]
        if what in _REMEDIES_FOR_NAMES:
            return _REMEDIES_FOR_NAMES[what]
    return _REMEDIES.get(sqlstate) or (
        diag.message_hint or _MISSING if sqlstate in ORDER_CODES else remedy_for(error)
    )


def _place(block: Block, index: int, error: psycopg.Error) -> tuple[int, int]:
    """Return line and column in the file: the server's position or the statement's start."""
    statement = block.statements[index]
    offset = _offset(block, index, error)
    if offset is None or not statement.is_verbatim:
        return statement.line, statement.column
    before = statement.text[:offset].replace(block.mark, "")
    newlines = before.count("\n")
    column = len(before) - before.rindex("\n") if newlines else statement.column + len(before)
    return statement.line + newlines, column


def _offset(block: Block, index: int, error: psycopg.Error) -> int | None:
    """Return the server's position as an offset in the statement that was sent.

    The position is internal: in the statement's own text or in a function's body. If the server
    finds the body in the message, it counts from the start of the message, but still reports the
    statement's text.
    """
    sent, start = block.statements[index].text, block.starts[index]
    diag = error.diag
    if not diag.internal_position or not diag.internal_query:
        return None
    within = sent.find(diag.internal_query)
    offset = within + int(diag.internal_position) - 1
    if within == 0 and offset >= start:
        offset -= start
    return offset if within >= 0 and offset <= len(sent) else None


def as_said(names: Iterable[Name]) -> tuple[str, ...]:
    """Return the names of relations and functions in the forms used by the server's messages."""
    return tuple(
        form
        for schema, name in sorted(names)
        for form in (f'"{name}"', f'"{schema}.{name}"', f" {name}(", f" {schema}.{name}(")
    )


def _path_sql(statement: DesiredStatement) -> str:
    """Return a statement's search_path as the value of the setting."""
    return ", ".join(identifier(name) for name in statement.search_path or ())


def _set(name: str, value: str) -> str:
    return f" perform pg_catalog.set_config({literal(name)}, {literal(value)}, true);"


def _tell_and_raise(mark: str) -> str:
    return (
        "exception when query_canceled or others then\n"
        f" raise info '{mark} at %', i; raise;\nend ${mark}$"
    )
