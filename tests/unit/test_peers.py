"""What the benchmarks beside peers say of them, without installing one."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench import page
from bench.chart import Chart
from bench.harness import BenchError
from bench.peers.figures import shown, wins
from bench.peers.install import Install, here, installed
from bench.peers.race import Result, Way
from bench.peers.registry import PEERS, named
from bench.peers.tool import Contestant, Migration, Peer, files
from bench.process import Usage

MIGRATIONS = (
    Migration(1, "things", "create table things (id int primary key, size text default 'é{}');\n"),
    Migration(2, "body", "do $$\nbegin\n    perform 1;\nend $$;\n"),
)


def result(name: str, seconds: float, round_trips: int = 5) -> Result:
    peer = Peer(name, here(""), files("{name}.sql"), ())
    runs = {10: [Usage(0, seconds, 0.1, 20, "")]}
    return Result(Contestant(peer, Path(), Path()), Way(round_trips, 1), runs)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_layout_holds_each_migration(peer: Peer) -> None:
    """What the server is to run is in it, as it is or as a string of another language."""
    texts = "\n".join(peer.layout(MIGRATIONS).values())

    assert "create table things" in texts
    assert "perform 1" in texts


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_layout_does_not_depend_on_what_follows(peer: Peer) -> None:
    """A file that has been applied stays as it was when another is added."""
    first, both = peer.layout(MIGRATIONS[:1]), peer.layout(MIGRATIONS)
    changed = {path for path, text in first.items() if both.get(path) != text}

    assert not any("things" in path for path in changed)


def test_an_unknown_peer_is_named_with_those_there_are() -> None:
    with pytest.raises(BenchError, match=r"no such peer: flywheel; there are psql, dbmate"):
        named(("flywheel",))


def test_a_peer_that_cannot_be_had_says_why() -> None:
    with pytest.raises(BenchError, match=r"^gopher is not here$"):
        installed("no such peer", Install("gopher", (("gopher", "install"),)))


def test_where_peers_win_is_said() -> None:
    ours = result("predeploy", 1.0)

    said = wins(ours, [ours, result("slow", 2.0, 3), result("fast", 0.25)])

    assert said.splitlines()[2:] == [
        "- at 10 ms, in less time (ratio): fast (0.25)",
        "- in fewer round trips: slow",
        "- in less memory: nobody",
        "- with less of the processor: nobody",
    ]


def test_a_peer_that_fails_on_the_way_is_left_out() -> None:
    """It is named, and whoever ran to the end is compared."""
    failed = result("flaky", 0.1)
    failed.failures.append("flaky ended with 1: no, at 10 ms")

    words, table, *_ = shown("name", "Title", [result("predeploy", 1.0), failed])

    assert words.markdown() == "Left out, as it failed: flaky ended with 1: no, at 10 ms."
    assert "flaky" not in table.markdown()


def test_a_chart_is_well_formed() -> None:
    chart = Chart("name", "A < B", ("0 ms", "10 ms"), {"predeploy": (0.1, 0.2), "x": (3.0, 40.0)})

    root = ET.fromstring(chart.svg())  # noqa: S314 - it is ours

    dots = [each for each in root.iter() if each.tag.endswith("circle")]
    assert len(dots) == 2 + 2 * 2  # the legend's, and a row's
    assert chart.markdown() == "![A < B](benchmarks/name.svg)"


def test_figures_take_the_place_of_the_former_ones(tmp_path: Path) -> None:
    """What stands around them stays, however often they are made."""
    docs = tmp_path / "benchmarks.md"
    docs.write_text("words\n\n<!-- x -->\n\nold\n\n<!-- end of x -->\n\nmore\n")

    for _ in range(2):
        page.put(docs, "x", ("new", "| table |"))

    figures = "<!-- x -->\n\nnew\n\n| table |\n\n<!-- end of x -->"
    assert docs.read_text() == f"words\n\n{figures}\n\nmore\n"


def test_figures_without_a_place_are_refused(tmp_path: Path) -> None:
    docs = tmp_path / "benchmarks.md"
    docs.write_text("words\n")

    with pytest.raises(BenchError, match=r"^benchmarks\.md has no place for x$"):
        page.put(docs, "x", ("new",))
