"""The first administrator: inserted when absent, never updated."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Finding, Plan
from predeploy.contract.secret import Secret
from predeploy.contract.step import Addition
from predeploy.layers.situation.base import Layer, Situation
from predeploy.settings import Admin
from predeploy.snapshot import Response, View
from predeploy.sources import filtered
from predeploy.sources.seeds import Seed, read_seed

_BCRYPT_COST = 12
_UNDEFINED_TABLE = (
    "42P01"  # undefined_table means not present: the INSERT will report the missing table
)
_HOW_TO_SET = "set ADMIN_USERNAME, ADMIN_EMAIL and ADMIN_PASSWORD (or ADMIN_PASSWORD_HASH)"


def plan(situation: Situation) -> Plan:
    """Plan the inserts of every seed whose presence question returned no row."""
    if situation.comparison.is_ahead:
        return Plan()
    plans = [_plan_seed(read_seed(s), situation) for s in situation.sources.seeds]
    return Plan(
        tuple(step for p in plans for step in p.steps),
        tuple(finding for p in plans for finding in p.findings),
    )


LAYER = Layer("seed", frozenset({View.LEDGER, View.SEEDED}), plan, failed=ExitCode.SEED_FAILED)


def _plan_seed(seed: Seed, situation: Situation) -> Plan:
    admin = situation.settings.admin
    path = seed.script.path
    if seed.findings:
        return Plan(findings=seed.findings)
    if seed.names and admin is None:
        message = f"{path}: skipped, no admin is configured"
        return Plan(findings=(Finding("seed-skipped", message, _HOW_TO_SET),))
    answer = next((a for a in situation.snapshot.seeded if a.path == path), Response(path))
    if answer.sqlstate not in ("", _UNDEFINED_TABLE):
        return Plan(findings=(_broken(answer),))
    if answer.count:
        return Plan(findings=tuple(_half_matches(answer, admin)))
    if not seed.inserts:
        return Plan()
    values = _values(admin, seed.names)
    first, last = seed.inserts[0].statement, seed.inserts[-1].statement
    step = Addition(
        path,
        seed.script.text[first.start : last.end],
        tuple(replace(bound.statement, source=bound.sql, length=None) for bound in seed.inserts),
        binds=tuple(tuple(values[name] for name in bound.names) for bound in seed.inserts),
        preamble=(filtered.LET_IT_FILTER,) if seed.is_filtered else (),
    )
    return Plan(steps=(step,), findings=tuple(_notes(seed)))


def _notes(seed: Seed) -> Iterator[Finding]:
    if seed.is_filtered:
        yield filtered.told(seed.script.path)


def _values(admin: Admin | None, names: frozenset[str]) -> Mapping[str, str | Secret]:
    """Return the value of each name. Hashes only if needed: it takes a quarter of a second."""
    if admin is None:
        return {}
    values: dict[str, str | Secret] = dict(admin.identity)
    if "admin_password_hash" in names:
        values["admin_password_hash"] = admin.password_hash or _hashed(admin.password)
    return values


def _hashed(password: Secret | None) -> Secret:
    import bcrypt  # noqa: PLC0415 - a settled run never needs it

    plain = (password or Secret("")).reveal().encode()
    return Secret(bcrypt.hashpw(plain, bcrypt.gensalt(_BCRYPT_COST)).decode())


def _broken(answer: Response) -> Finding:
    return Finding(
        "seed-broken",
        f"{answer.path}: the presence question failed: {answer.message} ({answer.sqlstate})",
        answer.remedy or "fix the leading SELECT",
        ExitCode.DENIED if answer.remedy else ExitCode.SEED_FAILED,
    )


def _half_matches(answer: Response, admin: Admin | None) -> Iterator[Finding]:
    """Warn if one of the administrator's two names is taken, but no row has both."""
    if admin is None:
        return
    present = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
    wanted = {"username": admin.username, "email": admin.email}
    held = [{name for name, value in wanted.items() if row.get(name) == value} for row in present]
    asked = [name for name in wanted if any(name in row for row in present)]
    if len(asked) < len(wanted) or any(len(names) == len(wanted) for names in held):
        return
    taken = " and ".join(sorted(set().union(*held))) or "name"
    yield Finding(
        "seed-half-match",
        f"{answer.path}: the {taken} is taken by another user; nothing was written",
        "make ADMIN_USERNAME and ADMIN_EMAIL those of one user, or choose free ones",
    )
