"""The rules of `predeploy lint`: each one's own examples, and its entry in docs/rules.md."""

import re

import pytest
from conftest import ROOT
from rules_page import page

from predeploy.sources.script import Script
from predeploy.sources.steps import steps_of
from predeploy.sql.rules import RULES, Reader, Rule

KEBAB = re.compile(r"[a-z]+(-[a-z]+)*")
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def found(text: str) -> list[tuple[str, str, str]]:
    """The rules that apply to a file, what about, and the safe form."""
    steps = steps_of(Script("1_a.sql", "1_a.sql", text, "")).steps
    return [(r.rule.name, r.about, r.safe) for r in Reader().risks(s.statements for s in steps)]


def names(text: str) -> list[str]:
    return [name for name, _, _ in found(text)]


@each_rule
def test_a_rule_finds_its_bad_example_and_not_its_good_one(rule: Rule) -> None:
    assert names(rule.bad).count(rule.name) == 1
    assert rule.name not in names(rule.good)


@each_rule
def test_what_a_rule_says_is_whole(rule: Rule) -> None:
    assert KEBAB.fullmatch(rule.name)
    assert not rule.why.endswith(".")
    assert not rule.lock or rule.waits, "say who waits"


def test_a_name_means_one_rule() -> None:
    """An alias may mean several, but never another rule's own name."""
    own = [rule.name for rule in RULES]
    aliases = {name for rule in RULES for name in rule.aliases if name != rule.name}

    assert len(own) == len(set(own))
    assert aliases.isdisjoint(own)


def test_the_page_is_as_the_rules_are() -> None:
    """`python tests/rules_page.py` writes it."""
    assert (ROOT / "docs" / "rules.md").read_text() == page()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        (
            "create unique index i on a.t using btree (b) where c",
            "CREATE UNIQUE INDEX CONCURRENTLY i ON a.t (b) WHERE c;",
        ),
        ('drop index "I", s.j', 'DROP INDEX CONCURRENTLY "I";'),
        (
            "alter table t add constraint c foreign key (a) references b (id), add x int",
            (
                "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES b (id) NOT VALID;\n"
                "-- and in a later migration\nALTER TABLE t VALIDATE CONSTRAINT c;"
            ),
        ),
        (
            "alter table t add primary key (a, b)",
            (
                "CREATE UNIQUE INDEX CONCURRENTLY t_pkey ON t (a, b);\n"
                "ALTER TABLE t ADD CONSTRAINT t_pkey PRIMARY KEY USING INDEX t_pkey;"
            ),
        ),
        (
            "alter table t detach partition p",
            "ALTER TABLE t DETACH PARTITION p CONCURRENTLY;",
        ),
        ("reindex table t", "REINDEX TABLE CONCURRENTLY t;"),
    ],
)
def test_the_safe_form_is_sql(text: str, safe: str) -> None:
    assert safe in [said for _, _, said in found(text)]


@pytest.mark.parametrize("rule", [r for r in RULES if r.lock and "t (id" not in r.bad],
                         ids=lambda rule: rule.name)  # fmt: skip
def test_a_table_of_the_same_file_is_nobody_s(rule: Rule) -> None:
    """Nobody else uses it, so nobody waits."""
    tables = dict.fromkeys(about.partition(".")[0].partition(" ")[0]
                           for name, about, _ in found(rule.bad) if name == rule.name)  # fmt: skip
    made = "".join(f"CREATE TABLE IF NOT EXISTS {table} (id int);\n" for table in tables)
    about_indexes = ("drop-index-without-concurrently", "reindex-without-concurrently",
                     "table-written-anew")  # fmt: skip

    if rule.name not in about_indexes:
        assert rule.name not in names(made + rule.bad)


NOISELESS = """
create table users (id bigint generated always as identity primary key, email text not null unique);
create index users_email on users (lower(email));
alter table users add constraint positive check (id > 0);
insert into users (email) values ('a@example.com');
comment on table users is 'people';
insert into roles (name) select 'admin' where not exists (select from roles);
insert into numbers select n from generate_series(1, 10) n;
update settings set value = 'b' where name = 'a';
"""


def test_a_migration_that_only_makes_new_things_says_nothing() -> None:
    assert found(NOISELESS) == []


def test_what_the_parser_cannot_read_is_passed_over() -> None:
    assert found("create table t (a int) with future syntax everywhere;") == []
