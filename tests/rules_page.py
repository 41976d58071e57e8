"""Writes docs/rules.md from the rules: `python tests/rules_page.py`."""

from pathlib import Path

from predeploy.sql.rules import RULES, Rule

PAGE = Path(__file__).resolve().parents[1] / "docs" / "rules.md"
# ruff: noqa: E501 - lines of the page, as the other pages have them
_HEAD = """# The rules of `predeploy lint`

`predeploy lint` reads the migrations of a folder, in any format that predeploy knows, without a database, and says what may
go wrong with them on a database in use. Tables that the same file makes are left alone, as nobody uses them yet.

An **error** fails or is refused where the table holds rows, a **warning** makes others wait or breaks the app that still
runs, a **note** is good to know, and told with `--notes`. One statement is silenced by a comment before it, with a reason:

```sql
-- predeploy: ignore index-without-concurrently: the table has ten rows
CREATE INDEX settings_name ON settings (name);
```

The names that a rule has in other linters count, too, and so do their own comments: `-- squawk-ignore`,
`-- squawk-ignore-file`, `-- pgfence-ignore:`, `-- atlas:nolint`, `-- migrationpilot-disable`. A comment of predeploy's own
that silences nothing (`unused-ignore`) or says no reason (`ignore-without-reason`) is a warning. What a run would refuse to
take away without a declaration is an error (`undeclared-loss`).
"""


def page() -> str:
    """Return the page."""
    return "\n".join((_HEAD, *map(_entry, RULES)))


def _entry(rule: Rule) -> str:
    also = ", ".join(f"`{name}`" for name in rule.aliases)
    said = [
        f"## {rule.name}",
        "",
        f"{rule.severity.value.capitalize()}: {rule.why}.",
        *([f"Lock: {rule.lock}; {rule.waits} wait."] if rule.lock else []),
        *([f"Elsewhere: {also}."] if also else []),
        "",
        "```sql",
        "-- found",
        rule.bad,
        "-- not found",
        rule.good,
        "```",
        "",
    ]
    return "\n".join(said)


if __name__ == "__main__":
    PAGE.write_text(page())
