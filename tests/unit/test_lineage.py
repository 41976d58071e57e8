"""How the folder's history and the ledger's are related."""

import pytest

from predeploy.contract.step import LedgerEntry, LedgerRow
from predeploy.layers.situation.lineage import Comparison, Lineage, compare, tell
from predeploy.settings.versions import version_of
from predeploy.sources import Sources
from predeploy.sources.script import Script
from predeploy.sources.squash import Squash, spans_of

CURRENT, AHEAD = Lineage.CURRENT, Lineage.AHEAD
DIVERGED, UNRELATED = Lineage.DIVERGED, Lineage.UNRELATED


def compared(folder: str, *runs: str, squashes: str = "") -> Comparison:
    """Compare a folder with what runs have applied, one after the other.

    `2_b~` is half applied; `9_s=1..5` in the folder has a header, and in `squashes` the ledger
    knows of it.
    """
    parts = [name.partition("=") for name in folder.split()]
    scripts = [
        Script(
            f"{n}.sql",
            "",
            f"-- predeploy: replaces {spans}" if spans else "",
            "",
            version_of(n),
        )
        for n, _, spans in parts
    ]
    known = [
        Squash(f"{n}.sql", spans_of(s)) for n, _, s in (w.partition("=") for w in squashes.split())
    ]
    ordered = tuple(sorted(scripts, key=lambda s: (s.version, s.name)))
    ledger = tuple(
        LedgerRow(
            LedgerEntry(f"{name.strip('~')}.sql", "x", 1, 1, is_final="~" not in name, raw_hash=""),
            "",
            str(number),
        )
        for number, run in enumerate(runs)
        for name in run.split()
    )
    return compare(Sources(ordered, (), (), digest=""), ledger, known)


@pytest.mark.parametrize(
    ("folder", "runs", "lineage", "pruned", "missing"),
    [
        # nothing is missing
        ("", [], CURRENT, "", ""),
        ("1_a", [], CURRENT, "", ""),
        ("1_a 2_b", ["1_a"], CURRENT, "", ""),
        ("1_a 2_b", ["1_a", "2_b"], CURRENT, "", ""),
        # older than the folder's oldest, or a folder that has given up its migrations
        ("", ["1_a"], CURRENT, "1_a", ""),
        ("10_a", ["9_a", "10_a"], CURRENT, "9_a", ""),
        ("10_a", ["9_a"], CURRENT, "9_a", ""),
        # newer than the folder's newest
        ("1_a", ["1_a 2_b"], AHEAD, "", "2_b"),
        ("2_b", ["1_a 2_b", "3_c"], AHEAD, "1_a", "3_c"),
        ("1_a 2_b", ["1_a 2_b 10_c"], AHEAD, "", "10_c"),
        # of the folder's time, and applied by a later run than all of the folder: a late merge
        ("1_a 3_c", ["1_a 3_c", "2_b"], AHEAD, "", "2_b"),
        ("1_a 3_c", ["1_a 3_c", "2_b", "4_d"], AHEAD, "", "2_b 4_d"),
        ("1_a 2_b", ["1_a", "2_b 2_late"], DIVERGED, "", "2_late"),
        # something is pending, or half applied: nobody has been here with a newer version of this
        ("1_a 4_d", ["1_a", "2_b"], DIVERGED, "", "2_b"),
        ("1_a 2_b", ["1_a", "3_c"], DIVERGED, "", "3_c"),
        ("1_a 2_b", ["1_a 2_b~", "3_c"], DIVERGED, "", "3_c"),
        # a hole, a branch that was given up
        ("1_a 3_c", ["1_a 2_b 3_c"], DIVERGED, "", "2_b"),
        ("1_a 3_c", ["1_a", "2_b", "3_c"], DIVERGED, "", "2_b"),
        ("1_a 3_c", ["1_a", "2_b", "3_c", "4_d"], DIVERGED, "", "2_b 4_d"),
        # not one file in common
        ("1_b 2_b", ["1_a"], UNRELATED, "", "1_a"),
        ("5_a", ["9_x", "10_x"], UNRELATED, "", "9_x 10_x"),
        ("0_all", ["1_a", "2_b"], UNRELATED, "", "1_a 2_b"),
        ("2_x", ["1_a 2_a 3_a"], UNRELATED, "1_a", "2_a 3_a"),
    ],
)
def test_folder_and_ledger_are_compared(
    folder: str, runs: list[str], lineage: Lineage, pruned: str, missing: str
) -> None:
    """Each run is a text of the files that it applied; versions are compared as numbers."""
    found = compared(folder, *runs)

    def names(text: str) -> tuple[str, ...]:
        return tuple(f"{name}.sql" for name in text.split())

    assert found == Comparison(lineage, names(pruned), names(missing))


@pytest.mark.parametrize(
    ("folder", "runs", "squashes", "lineage", "missing"),
    [
        # the folder has the squash: what it replaces is not missing
        ("3_s=1..3 4_d", ["1_a 2_b 3_c"], "", CURRENT, ""),
        ("3_s=1..3 4_d", ["1_a 2_b 3_c", "3_s 4_d"], "3_s=1..3", CURRENT, ""),
        ("0_s=1..3 4_d", ["1_a 2_b 3_c", "0_s 4_d"], "0_s=1..3", CURRENT, ""),
        ("3_s=1..3 4_d", ["1_a 2_b 3_c", "9_x"], "", DIVERGED, "9_x"),
        ("3_s=1..3", ["1_a 2_b 3_c", "3_s", "9_x"], "3_s=1..3", AHEAD, "9_x"),
        # an image from before it, where it was recorded
        ("1_a 2_b 3_c", ["1_a 2_b 3_c", "3_s"], "3_s=1..3", CURRENT, ""),
        ("1_a 2_b 3_c", ["1_a 2_b 3_c", "0_s 4_d"], "0_s=1..3", AHEAD, "4_d"),
        ("1_a 2_b", ["1_a 2_b 3_c", "3_s"], "3_s=1..3", AHEAD, "3_c 3_s"),
        # and where it was run
        ("1_a 2_b 3_c", ["3_s"], "3_s=1..3", CURRENT, ""),
        ("1_a 2_b 3_c", ["0_s 4_d"], "0_s=1..3", AHEAD, "4_d"),
        ("1_a 2_b", ["0_s"], "0_s=1..3", AHEAD, "0_s"),
        # where it was not run to its end, nothing stands for what it replaces
        ("1_a 2_b 3_c", ["3_s~"], "3_s=1..3", UNRELATED, "3_s"),
        ("1_a 2_b 3_c", ["0_s~"], "0_s=1..3", UNRELATED, "0_s"),
        # a squash of a squash
        ("5_t=1..5", ["3_s", "4_d 5_e"], "3_s=1..3", CURRENT, ""),
        # not one file in common, with or without
        ("7_x", ["9_s"], "9_s=8..9", UNRELATED, "9_s"),
    ],
)
def test_a_squash_stands_for_what_it_replaces(
    folder: str, runs: list[str], squashes: str, lineage: Lineage, missing: str
) -> None:
    """So an image from before it is no stranger to a database that has it, and the other way."""
    found = compared(folder, *runs, squashes=squashes)

    assert (found.lineage, found.missing) == (
        lineage,
        tuple(f"{name}.sql" for name in missing.split()),
    )


def test_every_file_is_named_up_to_twenty() -> None:
    """A message that names them all would hide the rest."""
    (found,) = tell(compared("1_a", "1_a " + " ".join(f"{n}_b" for n in range(2, 30))), "predeploy")

    assert found.code == "ahead"
    assert "20_b.sql, 21_b.sql and 8 more, not in this folder" in found.message
    assert "22_b.sql" not in found.message


@pytest.mark.parametrize(
    ("folder", "runs", "code", "level"),
    [
        ("2_b", ["1_a 2_b"], "not-in-folder", "info"),
        ("1_a", ["1_a 2_b"], "ahead", "info"),
        ("1_a 3_c", ["1_a 2_b 3_c"], "diverged", "warn"),
        ("2_b", ["2_x"], "unrelated", "error"),
    ],
)
def test_the_missing_files_are_told(folder: str, runs: list[str], code: str, level: str) -> None:
    """Pruned and ahead are notes, diverged is a warning, a strange ledger stops the run."""
    (found,) = tell(compared(folder, *runs), "predeploy")

    assert (found.code, found.level) == (code, level)
