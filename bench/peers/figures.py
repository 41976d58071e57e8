"""What a race has shown: a table, a chart, and in words where a peer wins."""

from collections.abc import Iterator, Sequence

from bench.chart import Chart
from bench.peers.race import Result
from bench.table import Part, Table, Words, milliseconds


def shown(name: str, title: str, results: Sequence[Result]) -> Iterator[Part]:
    """Return it as a table, as a chart, and in words. The first result is ours."""
    ordered = sorted(results, key=lambda each: each.medians[_longest(each)])
    yield _table(title, results[0], ordered)
    yield _chart(name, title, ordered)
    yield Words(wins(results[0], results))


def wins(ours: Result, results: Sequence[Result]) -> str:
    """Say who beats us, at which delay, in time, memory or the processor's seconds."""
    others = [each for each in results if not each.name.startswith("predeploy")]
    at_each = [f"at {delay} ms {_who(delay, ours, others) or 'none'}" for delay in ours.medians]
    less = (
        ("in less memory", [each.name for each in others if each.rss_mb < ours.rss_mb]),
        ("with less of the processor", [each.name for each in others if each.cpu_s < ours.cpu_s]),
        (
            "in fewer round trips",
            [e.name for e in others if e.way.round_trips < ours.way.round_trips],
        ),
    )
    rest = "; ".join(f"{how}: {', '.join(who) or 'none'}" for how, who in less)
    return f"Faster than {ours.name}: {'; '.join(at_each)}. Done {rest}."


def _who(delay: int, ours: Result, others: Sequence[Result]) -> str:
    mine = ours.medians[delay]
    faster = [(each.medians[delay] / mine, each.name) for each in others]
    return ", ".join(f"{name} ({ratio:.2f})" for ratio, name in sorted(faster) if ratio < 1)


def _table(title: str, ours: Result, ordered: Sequence[Result]) -> Table:
    delays = tuple(ours.medians)
    header = (
        "", "also", *(f"ms @ {delay}" for delay in delays), f"ratio @ {delays[-1]}",
        "round trips", "connections", "CPU, s", "peak, MB",
    )  # fmt: skip
    return Table(title, header, tuple(_row(each, ours) for each in ordered))


def _row(each: Result, ours: Result) -> tuple[str, ...]:
    last = _longest(ours)
    return (
        each.name,
        each.contestant.peer.does(),
        *(milliseconds(seconds) for seconds in each.medians.values()),
        f"{each.medians[last] / ours.medians[last]:.2f}",
        str(each.way.round_trips),
        str(each.way.connections),
        f"{each.cpu_s:.2f}",
        f"{each.rss_mb:.0f}",
    )


def _chart(name: str, title: str, ordered: Sequence[Result]) -> Chart:
    series = tuple(f"{delay} ms" for delay in ordered[0].medians)
    rows = {each.name: tuple(each.medians.values()) for each in ordered}
    return Chart(name, f"{title}, by the delay of a round trip", series, rows)


def _longest(result: Result) -> int:
    return max(result.medians)
