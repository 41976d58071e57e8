"""The app's old version, which still runs while a pre-deploy job migrates."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from postgast import pg_query_pb2 as pb

from predeploy.sql.rules.rule import (
    Hit,
    Rule,
    Severity,
    Subject,
    definition_of,
    name_of,
    quoted,
    quoted_name,
)

_LATER = "-- first deploy an app that does without it; then this, in the next deploy"
_RELATIONS = (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW, pb.OBJECT_FOREIGN_TABLE)


def _dropping(*types: int) -> Callable[[Subject], Iterator[Hit]]:
    def check(subject: Subject) -> Iterator[Hit]:
        if subject.kind == "drop_stmt" and subject.node.remove_type in types:
            for each in subject.node.objects:
                name = _dropped_name(each)
                if subject.is_old(name.rpartition(".")[2]):
                    yield Hit(name, _LATER)

    return check


def _dropped_name(each: Any) -> str:
    """Return the name of a dropped object, whichever way the parser has it."""
    holder = each.WhichOneof("node")
    parts: Iterable[Any] = ()
    if holder == "list":
        parts = each.list.items
    elif holder == "object_with_args":
        parts = each.object_with_args.objname
    elif holder == "type_name":
        parts = each.type_name.names
    elif holder == "string":
        parts = (each,)
    return ".".join(part.string.sval for part in parts)


def _altering(*types: int) -> Callable[[Subject], Iterator[Hit]]:
    def check(subject: Subject) -> Iterator[Hit]:
        for command in subject.altering(*types):
            table = name_of(subject.node.relation)
            yield Hit(f"{table}.{command.name}" if command.name else table, _LATER)

    return check


def _default_dropped(subject: Subject) -> Iterator[Hit]:
    for command in subject.altering(pb.AT_ColumnDefault):
        if definition_of(command) is None:
            yield Hit(f"{name_of(subject.node.relation)}.{command.name}", _LATER)


def _renamed(*types: int) -> Callable[[Subject], Iterator[Hit]]:
    def check(subject: Subject) -> Iterator[Hit]:
        is_one = subject.kind == "rename_stmt" and subject.node.rename_type in types
        if is_one and subject.is_old(subject.node.relation.relname or "?"):
            old = subject.node.subname or name_of(subject.node.relation)
            yield Hit(f"{old} to {subject.node.newname}", _with_both(subject.node))

    return check


def _with_both(node: Any) -> str:
    if node.rename_type in _RELATIONS:
        old, new = quoted_name(node.relation), quoted(node.newname)
        return (
            "-- keep the old name as a view until no app uses it\n"
            f"ALTER TABLE {old} RENAME TO {new};\nCREATE VIEW {old} AS SELECT * FROM {new};"
        )
    return "-- add the new one, write both, let the app change over, and drop the old one later"


def _of_kind(*kinds: str) -> Callable[[Subject], Iterator[Hit]]:
    def check(subject: Subject) -> Iterator[Hit]:
        if subject.kind in kinds:
            yield Hit(" ".join(subject.statement.text.split()[:4]))

    return check


def _moved(subject: Subject) -> Iterator[Hit]:
    if subject.kind == "alter_object_schema_stmt":
        name = name_of(subject.node.relation) or _dropped_name(subject.node.object)
        yield Hit(f"{name} to {subject.node.newschema}", _LATER)


def _revoked(subject: Subject) -> Iterator[Hit]:
    if subject.kind in ("grant_stmt", "grant_role_stmt") and not subject.node.is_grant:
        yield Hit(" ".join(subject.statement.text.split()[:6]), _LATER)


def _restricted(subject: Subject) -> Iterator[Hit]:
    for command in subject.altering(pb.AT_AddConstraint, pb.AT_SetNotNull):
        yield Hit(f"{name_of(subject.node.relation)}.{command.name}".rstrip("."))


def _replaced(subject: Subject) -> Iterator[Hit]:
    if subject.kind in ("view_stmt", "create_function_stmt") and subject.node.replace:
        yield Hit(" ".join(subject.statement.text.split("(")[0].split()[:5]))


def _restarted(subject: Subject) -> Iterator[Hit]:
    if subject.kind == "alter_seq_stmt":
        yield Hit(name_of(subject.node.sequence))
    yield from _altering(pb.AT_SetIdentity, pb.AT_DropIdentity)(subject)


def _attribute(subject: Subject) -> Iterator[Hit]:
    if subject.kind == "alter_table_stmt" and subject.node.objtype == pb.OBJECT_TYPE:
        yield Hit(name_of(subject.node.relation))


def _drop(what: str, example: str, *types: int, aliases: tuple[str, ...] = ()) -> Rule:
    return Rule(
        f"drop-{what.replace(' ', '-')}",
        f"the app that still runs may use the {what}",
        f"DROP {example};",
        "DROP INDEX CONCURRENTLY orders_user_id;",
        _dropping(*types),
        aliases=aliases or (f"ban-drop-{what.replace(' ', '-')}",),
    )


def _command(
    name: str, why: str, bad: str, *types: int, severity: Severity = Severity.NOTE,
    aliases: tuple[str, ...] = (),
) -> Rule:  # fmt: skip
    good = "ALTER TABLE orders ADD COLUMN note text;"
    return Rule(name, why, bad, good, _altering(*types), severity=severity, aliases=aliases)


RULES = (
    _drop("table", "TABLE users", pb.OBJECT_TABLE, pb.OBJECT_FOREIGN_TABLE),
    _drop("view", "VIEW totals", pb.OBJECT_VIEW, pb.OBJECT_MATVIEW),
    _drop("function", "FUNCTION f(int)", pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_ROUTINE,
          pb.OBJECT_AGGREGATE),
    _drop("type", "TYPE mood", pb.OBJECT_TYPE),
    _drop("domain", "DOMAIN email", pb.OBJECT_DOMAIN),
    _drop("sequence", "SEQUENCE numbers", pb.OBJECT_SEQUENCE),
    _drop("schema", "SCHEMA app", pb.OBJECT_SCHEMA),
    _drop("extension", "EXTENSION citext", pb.OBJECT_EXTENSION),
    _drop("trigger", "TRIGGER audit ON orders", pb.OBJECT_TRIGGER),
    _drop("policy", "POLICY own ON orders", pb.OBJECT_POLICY),
    _command("drop-column", "the app that still runs reads and writes the column",
             "ALTER TABLE users DROP COLUMN fax;", pb.AT_DropColumn, severity=Severity.WARNING,
             aliases=("ban-drop-column", "remove_column")),
    _command("drop-constraint", "what it kept out comes in from now on, and with it go the index "
             "or the foreign keys that it carries", "ALTER TABLE users DROP CONSTRAINT users_pkey;",
             pb.AT_DropConstraint, aliases=("ban-drop-constraint",)),
    _command("drop-not-null", "the app that still runs may read a null that it does not expect",
             "ALTER TABLE users ALTER COLUMN email DROP NOT NULL;", pb.AT_DropNotNull,
             aliases=("ban-drop-not-null",)),
    _command("drop-expression", "the app that still runs does not write the column, which stays "
             "empty then", "ALTER TABLE users ALTER COLUMN full_name DROP EXPRESSION;",
             pb.AT_DropExpression, aliases=("ban-drop-generated-expression",)),
    _command("row-security", "the app that still runs sees no row without a policy for it",
             "ALTER TABLE orders ENABLE ROW LEVEL SECURITY;", pb.AT_EnableRowSecurity,
             pb.AT_DisableRowSecurity, pb.AT_ForceRowSecurity, pb.AT_NoForceRowSecurity,
             severity=Severity.WARNING, aliases=("ban-alter-row-level-security",)),
    _command("leaves-parent", "queries of the parent no longer see its rows",
             "ALTER TABLE logs_may NO INHERIT logs;", pb.AT_DropInherit,
             aliases=("ban-detach-inheritance",)),
    _command("replica-identity", "subscribers of logical replication get other rows of it",
             "ALTER TABLE orders REPLICA IDENTITY NOTHING;", pb.AT_ReplicaIdentity,
             aliases=("ban-replica-identity",)),
    Rule("drop-default", "the app that still runs may leave the column out when it inserts",
         "ALTER TABLE users ALTER COLUMN role DROP DEFAULT;",
         "ALTER TABLE users ALTER COLUMN role SET DEFAULT 'user';", _default_dropped,
         aliases=("ban-drop-default",)),
    Rule("rename-table", "the app that still runs does not find it any more",
         "ALTER TABLE users RENAME TO people;", "ALTER INDEX users_i RENAME TO people_i;",
         _renamed(*_RELATIONS), aliases=("renaming-table", "rename_table")),
    Rule("rename-column", "the app that still runs does not find it any more",
         "ALTER TABLE users RENAME COLUMN mail TO email;", "ALTER INDEX a RENAME TO b;",
         _renamed(pb.OBJECT_COLUMN), aliases=("renaming-column", "rename_column")),
    Rule("rename-object", "the app that still runs may use the old name",
         "ALTER FUNCTION f(int) RENAME TO g;", "ALTER INDEX a RENAME TO b;",
         _renamed(pb.OBJECT_FUNCTION, pb.OBJECT_PROCEDURE, pb.OBJECT_TYPE, pb.OBJECT_DOMAIN,
                  pb.OBJECT_SEQUENCE, pb.OBJECT_SCHEMA, pb.OBJECT_ATTRIBUTE),
         aliases=("renaming-object",)),
    Rule("set-schema", "the app that still runs looks in the old schema",
         "ALTER TABLE users SET SCHEMA app;", "SELECT 1;", _moved, aliases=("ban-set-schema",)),
    Rule("revoke", "the app that still runs may need the right",
         "REVOKE INSERT ON orders FROM app;", "GRANT INSERT ON orders TO app;", _revoked,
         aliases=("ban-revoke",)),
    Rule("new-restriction", "the app that still runs may write rows that it refuses",
         "ALTER TABLE orders ADD CONSTRAINT positive CHECK (total > 0) NOT VALID;",
         "ALTER TABLE orders ADD COLUMN note text;", _restricted, severity=Severity.NOTE,
         aliases=("ban-new-write-restriction",)),
    Rule("replaced", "the app that still runs gets the new version, too",
         "CREATE OR REPLACE VIEW totals AS SELECT 1 AS n;", "CREATE VIEW totals AS SELECT 1 AS n;",
         _replaced, severity=Severity.NOTE, aliases=("ban-replace-view-function",)),
    Rule("new-policy", "the app that still runs sees and writes other rows",
         "CREATE POLICY own ON orders USING (true);", "SELECT 1;",
         _of_kind("create_policy_stmt", "alter_policy_stmt"), severity=Severity.NOTE,
         aliases=("ban-create-policy", "ban-alter-policy-roles")),
    Rule("sequence-changed", "the app that still runs gets other numbers, or some of them twice",
         "ALTER SEQUENCE orders_id_seq RESTART;", "CREATE SEQUENCE numbers;", _restarted,
         severity=Severity.NOTE, aliases=("ban-alter-sequence-values", "ban-alter-identity")),
    Rule("role-changed", "the app that still runs may connect with the role",
         "ALTER ROLE app NOLOGIN;", "CREATE ROLE app;",
         _of_kind("alter_role_stmt", "drop_role_stmt"),
         aliases=("ban-alter-role-options",)),
    Rule("composite-changed", "the app that still runs reads values of the old form",
         "ALTER TYPE address ADD ATTRIBUTE zip text;", "CREATE TYPE address AS (city text);",
         _attribute, severity=Severity.NOTE, aliases=("ban-add-composite-attribute",)),
    Rule("extension-changed", "its functions may behave otherwise from now on",
         "ALTER EXTENSION postgis UPDATE;", "CREATE EXTENSION postgis;",
         _of_kind("alter_extension_stmt"), severity=Severity.NOTE,
         aliases=("ban-alter-extension",)),
)  # fmt: skip
