"""The results of a race: a table, a chart, and a list of where a peer wins."""

from collections.abc import Callable, Iterator, Sequence

from bench.chart import Chart
from bench.harness import BenchError
from bench.peers.race import OURS, Result
from bench.table import Part, Table, Words, milliseconds


def shown(name: str, title: str, results: Sequence[Result]) -> Iterator[Part]:
    """Yield the results as a table, as a chart, and in words; the first is predeploy's.

    Raises BenchError if one of predeploy's runs has failed.
    """
    for failure in (failure for each in results for failure in each.failures):
        if failure.startswith(OURS):
            raise BenchError(failure)
        yield Words(f"Left out, as it failed: {failure}.")
    whole = [each for each in results if not each.failures]
    ordered = sorted(whole, key=lambda each: each.medians[_longest(each)])
    yield _table(title, results[0], ordered)
    yield _chart(name, title, ordered)
    yield Words(wins(results[0], whole))


def wins(ours: Result, results: Sequence[Result]) -> str:
    """Return which peers win, at which delay, in time, memory or CPU seconds."""
    others = [each for each in results if not each.name.startswith(OURS)]
    beaten = {
        f"at {delay} ms, in less time (ratio)": _faster(delay, ours, others)
        for delay in ours.medians
    } | {
        "in fewer round trips": _less(lambda each: each.way.round_trips, ours, others),
        "in less memory": _less(lambda each: each.rss_mb, ours, others),
        "with less of the processor": _less(lambda each: each.cpu_s, ours, others),
    }
    lines = (f"- {how}: {', '.join(who) or 'nobody'}" for how, who in beaten.items())
    return "\n".join((f"Who beats {ours.name}:", "", *lines))


def _faster(delay: int, ours: Result, others: Sequence[Result]) -> list[str]:
    mine = ours.medians[delay]
    ratios = sorted((each.medians[delay] / mine, each.name) for each in others)
    return [f"{name} ({ratio:.2f})" for ratio, name in ratios if ratio < 1]


def _less(figure: Callable[[Result], float], ours: Result, others: Sequence[Result]) -> list[str]:
    return [each.name for each in others if figure(each) < figure(ours)]


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
