"""A benchmark's output: a Markdown table of medians and ratios, or of other figures."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Part(Protocol):
    """A part of a benchmark's output."""

    def markdown(self) -> str:
        """Return it as Markdown."""


@dataclass(frozen=True, slots=True)
class Words:
    """A paragraph."""

    text: str

    def markdown(self) -> str:
        """Return it unchanged."""
        return self.text


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; the first column is text, the others are figures."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """Return it as Markdown."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        lines = (f"| {' | '.join(cells)} |" for cells in (self.header, rule, *self.rows))
        return "\n".join((f"**{self.title}**", "", *lines))


def compared(title: str, samples: Mapping[str, Sequence[float]]) -> Table:
    """Return a table of each name's seconds, with ratios to the first one's."""
    base = statistics.median(next(iter(samples.values())))
    header = ("", "median, ms", "least to most", "ratio")
    return Table(title, header, tuple(_compared(n, s, base) for n, s in samples.items()))


def milliseconds(seconds: float) -> str:
    """Return milliseconds with as many digits as are significant."""
    ms = seconds * 1000
    return f"{ms:.1f}" if ms < 10 else f"{ms:,.0f}"  # noqa: PLR2004 - two digits


def _compared(name: str, seconds: Sequence[float], base: float) -> tuple[str, ...]:
    median = statistics.median(seconds)
    spread = f"{milliseconds(min(seconds))} to {milliseconds(max(seconds))}"
    return name, milliseconds(median), spread, f"{median / base:.2f}"
