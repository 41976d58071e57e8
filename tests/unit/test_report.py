"""What a run says at its end, in every form, and never more than the platforms keep."""

import json
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from predeploy.contract.exit_codes import ExitCode
from predeploy.contract.plan import Failure, Finding, LayerReport, Outcome, StepResult
from predeploy.contract.report import (
    LIMIT_BYTES,
    Report,
    as_data,
    as_json,
    as_markdown,
    as_text,
    headline,
)

# Not shrunk: that takes ten seconds with texts of this size, and the first one found says enough.
bounded = settings(
    max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)

OK = Report("run", "1.2.3", Outcome.OK, ExitCode.OK, compared="1 migration")
BROKEN = Failure(
    ExitCode.FAILED,
    "migrations/0003_tags.sql",
    12,
    5,
    "42703",
    'column "nmae" does not exist',
    "a detail",
    "",
    "update t set nmae = 1",
)
WARNING = Finding("out-of-order", "0002 is late")
NOTE = Finding("not-in-folder", "0001 is gone", is_note=True)
ERROR = Finding("edited", "0001 was edited", "put it back", ExitCode.BAD_SOURCES)
MISSING = Finding("missing", "table t is missing", "", ExitCode.NOT_VERIFIED)


def steps(count: int, rows: int = 0) -> tuple[StepResult, ...]:
    return tuple(StepResult(f"migrations/{n}.sql", 0.25, 1, rows) for n in range(count))


def ended(
    exit_code: ExitCode, *layers: LayerReport, problems: tuple[str, ...] = (), target: str = ""
) -> Report:
    return Report(
        "run", "1.2.3", Outcome.FAILED, exit_code, layers=layers, problems=problems, target=target
    )


FAILED = replace(
    ended(
        ExitCode.FAILED,
        LayerReport("migrate", steps(2, rows=3), (WARNING,), BROKEN, ("a step 2", "b", "c")),
        target="app@db:5432/shop",
    ),
    duration_s=1.23456,
    run_id="ab12",
    server_version=180001,
)
MEND = ExitCode.FAILED.explanation
NEWER = Finding("ahead", "the ledger holds 2.sql", "forget it", is_note=True)
AHEAD = replace(
    OK,
    outcome=Outcome.AHEAD,
    compared="users is there",
    layers=(LayerReport("migrate", findings=(NEWER,)),),
)
REMAINS = (
    'migrations/0003_tags.sql:12:5 42703 column "nmae" does not exist; nothing of that step remains'
)


# the headline


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (OK, "ok: nothing to apply, verified"),
        (replace(OK, layers=(LayerReport("migrate", steps(1)),)), "ok: 1 step applied, verified"),
        (replace(OK, layers=(LayerReport("migrate", steps(2)), LayerReport("seed", steps(1)))),
         "ok: 3 steps applied, verified"),
        (replace(OK, compared=""),
         "ok: nothing to apply, and nothing is declared that could be verified"),
        (replace(OK, outcome=Outcome.SETTLED),
         "settled: nothing has changed since the last good run"),
        (AHEAD, "ahead: nothing to apply; users is there; the ledger holds 2.sql; next: forget it"),
        (replace(AHEAD, layers=(*AHEAD.layers, LayerReport("migrate", steps(2)))),
         "ahead: 2 steps applied; users is there; the ledger holds 2.sql; next: forget it"),
        (replace(AHEAD, command="verify"),
         "ahead: users is there; the ledger holds 2.sql; next: forget it"),
        (replace(OK, command="settle",
                 layers=(LayerReport("settle", findings=(Finding("settled", "1 step of x"),)),)),
         "settle: 1 step of x"),
        (replace(OK, outcome=Outcome.DEGRADED),
         "degraded: nothing to apply, verified nonetheless; see the findings"),
        (replace(OK, command="verify", compared="1 migration, schema.sql"),
         "verified: the database holds what the app declared: 1 migration, schema.sql"),
        (replace(OK, command="plan"), "plan: nothing pending"),
        (replace(OK, command="status", pending=2), "status: 2 pending"),
        (replace(OK, command="plan", pending=3, exit_code=ExitCode.PENDING), "plan: 3 pending"),
    ],
)  # fmt: skip
def test_good_news_is_a_word_and_what_was_done(report: Report, expected: str) -> None:
    """Each outcome and command has its own sentence."""
    assert headline(report) == expected


def test_bad_news_without_particulars_is_the_code_s_explanation() -> None:
    """Name and number come first, and what to do next is always there."""
    bad = [code for code in ExitCode if code not in (ExitCode.OK, ExitCode.PENDING)]

    found = [headline(ended(code)) for code in bad]

    assert found == [f"{code.label} ({int(code)}): {code.explanation}" for code in bad]


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (
            FAILED,
            f"failed (80): {REMAINS}; 3 later step(s) did not run; next: {MEND}",
        ),
        (
            ended(
                ExitCode.TEMPFAIL,
                LayerReport(
                    "seed",
                    failure=replace(BROKEN, remedy="run again", exit_code=ExitCode.TEMPFAIL),
                ),
            ),
            f"tempfail (75): {REMAINS}; next: run again",
        ),
        (
            ended(ExitCode.CONFIG, problems=("A is not set", "B is not a number")),
            "config (78): A is not set; B is not a number",
        ),
        (
            ended(ExitCode.BAD_SOURCES, LayerReport("migrate", findings=(WARNING, ERROR, NOTE))),
            "bad-sources (65): 0001 was edited; next: put it back",
        ),
        (
            ended(
                ExitCode.NOT_VERIFIED,
                LayerReport("migrate", findings=(WARNING,)),
                LayerReport("verify", findings=(MISSING, WARNING, ERROR, MISSING)),
            ),
            "not-verified (82): table t is missing (and 2 more)",
        ),
        (
            ended(ExitCode.TEMPFAIL, LayerReport("migrate", findings=(WARNING,))),
            f"tempfail (75): {ExitCode.TEMPFAIL.explanation}",
        ),
    ],
)
def test_bad_news_says_what_where_and_what_next(report: Report, expected: str) -> None:
    """A failed statement outweighs problems, and problems findings; warnings are no news."""
    assert headline(report) == expected


def test_findings_are_ordered_by_weight() -> None:
    """What stops the run comes first; within one weight the layers' order stays."""
    later = replace(WARNING, code="later")
    report = ended(
        ExitCode.BAD_SOURCES,
        LayerReport("migrate", findings=(NOTE, WARNING, ERROR)),
        LayerReport("verify", findings=(later, MISSING)),
    )

    assert report.findings == (ERROR, MISSING, WARNING, later, NOTE)


# as data


def test_a_failed_run_as_data() -> None:
    """All that is known is there, under stable names; empty parts are left out."""
    found = as_data(FAILED)

    assert found == {
        "retryable": False,
        "message": headline(FAILED),
        "level": "error",
        "event": "report",
        "command": "run",
        "outcome": "failed",
        "exit_code": 80,
        "exit_name": "failed",
        "version": "1.2.3",
        "run_id": "ab12",
        "target": "app@db:5432/shop",
        "server_version": 180001,
        "duration_s": 1.235,
        "failure": {
            "file": "migrations/0003_tags.sql",
            "line": 12,
            "column": 5,
            "sqlstate": "42703",
            "message": 'column "nmae" does not exist',
            "detail": "a detail",
            "statement": "update t set nmae = 1",
        },
        "layers": [
            {
                "name": "migrate",
                "steps": 2,
                "rows": 6,
                "duration_s": 0.5,
                "result": "failed",
                "not_run": ["a step 2", "b", "c"],
            }
        ],
        "findings": [{"code": "out-of-order", "level": "warn", "message": "0002 is late"}],
    }
    assert list(found)[:2] == ["message", "level"]


def test_a_good_run_as_data() -> None:
    """The exit code is there even when it is 0."""
    found = as_data(replace(OK, outcome=Outcome.SETTLED))

    assert found == {
        "duration_s": 0.0,
        "retryable": False,
        "message": "settled: nothing has changed since the last good run",
        "level": "info",
        "event": "report",
        "command": "run",
        "outcome": "settled",
        "exit_code": 0,
        "exit_name": "ok",
        "version": "1.2.3",
    }


@pytest.mark.parametrize("code", [ExitCode.OK, ExitCode.FAILED, ExitCode.TEMPFAIL])
def test_whether_a_rerun_may_help_is_always_said(code: ExitCode) -> None:
    """A reader of the report need not know the table of exit codes, for no as for yes."""
    assert as_data(replace(OK, exit_code=code)).get("retryable") is code.is_retryable


def test_what_is_pending_is_no_error() -> None:
    """Exit code 2 says that something is to be done, not that something is wrong."""
    found = as_data(replace(OK, command="plan", pending=3, exit_code=ExitCode.PENDING))

    assert (found["level"], found["exit_code"], found["pending"]) == ("info", 2, 3)


# as JSON


def test_a_report_is_one_line_of_json() -> None:
    """What fits is written whole, and letters stay letters."""
    report = replace(FAILED, target="größe@db\n")

    line = as_json(report)

    assert json.loads(line) == json.loads(json.dumps(as_data(report)))
    assert "\n" not in line
    assert "größe" in line


def test_too_many_findings_are_counted() -> None:
    """The last ones are left out, those that stop the run are kept, and the number is told."""
    findings = (*[WARNING] * 200, MISSING)

    found = json.loads(as_json(ended(ExitCode.NOT_VERIFIED, LayerReport("v", findings=findings))))

    kept = found["findings"]
    assert kept[0] == {"code": "missing", "level": "error", "message": "table t is missing"}
    assert found["findings_left_out"] == 201 - len(kept)
    assert 10 < len(kept) < 201


def test_long_texts_are_cut_before_findings_are_left_out() -> None:
    """Each text keeps its beginning, and an ellipsis tells that there was more."""
    long = replace(MISSING, message="x" * 5000)

    found = json.loads(as_json(ended(ExitCode.NOT_VERIFIED, LayerReport("v", findings=(long,)))))

    assert found["findings"][0]["message"] == "x" * 299 + "…"
    assert found["exit_code"] == 82


def test_no_name_is_cut_in_two() -> None:
    """A text that is too long ends between two words; an ellipsis stands for the rest."""
    name = f"public.{'t' * 63}.{'c' * 63}"
    long = replace(MISSING, message=" ".join([name] * 90))

    found = json.loads(as_json(ended(ExitCode.NOT_VERIFIED, LayerReport("v", findings=(long,)))))

    assert found["findings"][0]["message"] == f"{name} {name} …"


texts = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=4),
    st.sampled_from((0, 1, 80, 400)),
)
findings = st.builds(
    Finding, texts, texts, texts, st.sampled_from((None, ExitCode.NOT_VERIFIED)), st.booleans()
)
failures = st.builds(
    Failure,
    st.just(ExitCode.FAILED),
    texts,
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.just("42703"),
    texts,
    texts,
    texts,
    texts,
)
layers = st.builds(
    LayerReport,
    texts,
    st.just(steps(2)),
    st.lists(findings, max_size=4).map(tuple),
    st.none() | failures,
    st.lists(texts, max_size=3).map(tuple),
)
reports = st.builds(
    Report,
    command=st.sampled_from(("run", "plan")),
    version=texts,
    outcome=st.sampled_from(Outcome),
    exit_code=st.sampled_from(ExitCode),
    run_id=texts,
    target=texts,
    server_version=st.just(180001),
    layers=st.lists(layers, max_size=2).map(tuple),
    problems=st.lists(texts, max_size=3).map(tuple),
)
LONG_FAILURE = replace(BROKEN, **dict.fromkeys(("message", "detail", "statement"), "😀" * 400))
CONTROL = "\x01" * 400


def the_line_fits(report: Report) -> bool:
    line = as_json(report)
    found = json.loads(line)
    return (
        len(line.encode()) <= LIMIT_BYTES
        and "\n" not in line
        and found["exit_code"] == int(report.exit_code)
        and found["outcome"] == report.outcome.value
        and bool(found["message"])
    )


@bounded
@given(reports)
def test_no_report_is_larger_than_kubernetes_keeps(report: Report) -> None:
    """Whatever was found, the line is JSON of at most 4096 bytes with outcome and exit code."""
    assert the_line_fits(report)


@pytest.mark.parametrize(
    "report",
    [
        ended(ExitCode.FAILED, LayerReport("migrate", failure=LONG_FAILURE)),
        replace(ended(ExitCode.CONFIG, problems=(CONTROL,), target=CONTROL), run_id=CONTROL),
        ended(ExitCode.NOT_VERIFIED, LayerReport("😀" * 999), target="😀" * 999),
        ended(ExitCode.CONFIG, problems=("too many",) * 999),
        ended(ExitCode.FAILED, *[LayerReport("x" * 99)] * 99),
        ended(ExitCode.FAILED, LayerReport("x", not_run=("y" * 999,) * 99)),
    ],
    ids=["failure", "control characters", "emoji", "problems", "layers", "not run"],
)  # fmt: skip
def test_the_limit_counts_bytes_of_json(report: Report) -> None:
    """A letter may take four bytes, and an escaped control character six."""
    assert the_line_fits(report)


def test_a_name_that_is_no_text_does_not_keep_the_report_back() -> None:
    """File names may hold bytes that are not UTF-8; the report is written all the same."""
    report = ended(ExitCode.BAD_SOURCES, problems=("migrations/1_\udcff.sql: no",))

    line = as_json(report).encode()

    assert json.loads(line)["exit_code"] == 65


# for people


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (OK, headline(OK)),
        (
            FAILED,
            "  statement  update t set nmae = 1\n  detail     a detail\n" + headline(FAILED),
        ),
        (ended(ExitCode.FAILED, LayerReport("m", failure=replace(BROKEN, detail="", statement=""))),
         headline(ended(ExitCode.FAILED, LayerReport("m", failure=BROKEN)))),
    ],
)  # fmt: skip
def test_a_person_reads_the_headline_last(report: Report, expected: str) -> None:
    """The statement and the server's detail come before it, where there are any."""
    assert as_text(report) == expected


def test_a_summary_for_a_page() -> None:
    """A headline, a table of the layers, a list of the findings; what is empty is left out."""
    report = replace(FAILED, layers=(*FAILED.layers, LayerReport("verify", findings=(ERROR, NOTE))))

    assert as_markdown(report) == (
        "### ❌ predeploy run\n\n"
        f"{headline(report)}\n\n"
        "| layer | steps | rows | result |\n"
        "|---|---|---|---|\n"
        "| migrate | 2 | 6 | failed |\n"
        "| verify | 0 | 0 | bad-sources |\n\n"
        "- **error** `edited` 0001 was edited\n"
        "- **warn** `out-of-order` 0002 is late\n"
        "- **info** `not-in-folder` 0001 is gone\n"
    )
    assert as_markdown(OK) == "### ✅ predeploy run\n\nok: nothing to apply, verified\n"
    assert as_markdown(replace(OK, command="plan", exit_code=ExitCode.PENDING)).startswith("### ✅")
