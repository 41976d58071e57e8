"""Charts as SVG: one row for each name, one dot for each of its figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_COLOURS = ("#9ecae1", "#6baed6", "#2171b5", "#08306b")
_OURS = "#d94801"
_LEFT, _WIDTH, _RIGHT, _ROW, _TOP, _BOTTOM = 210, 520, 30, 24, 64, 34
_FONT = "font-family='system-ui, sans-serif' font-size='12'"


@dataclass(frozen=True, slots=True)
class Chart:
    """Seconds on a logarithmic scale: rows by name, with one figure for each series.

    Rows keep their order; those whose names begin with `ours` are highlighted.
    """

    name: str
    title: str
    series: tuple[str, ...]
    rows: Mapping[str, Sequence[float]]
    ours: str = "predeploy"

    def markdown(self) -> str:
        """Return the Markdown that shows the chart's file in the documentation."""
        return f"![{self.title}](benchmarks/{self.name}.svg)"

    def svg(self) -> str:
        """Return the chart as SVG."""
        width = _LEFT + _WIDTH + _RIGHT
        height = _TOP + _ROW * len(self.rows) + _BOTTOM
        drawn = [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {_FONT}>",
            f"<title>{escape(self.title)}</title>",
            f"<rect width='{width}' height='{height}' fill='#fff'/>",
            _text(16, 20, self.title, weight="bold"),
            *self._legend(),
            *self._grid(height - _BOTTOM),
            *(part for n, name in enumerate(self.rows) for part in self._row(n, name)),
            "</svg>",
        ]
        return "\n".join([*drawn, ""])

    def _legend(self) -> list[str]:
        each = [(_LEFT + 90 * n, colour, name) for n, (name, colour) in enumerate(self._coloured())]
        return [
            part
            for x, colour, name in each
            for part in (_dot(x, 42, colour), _text(x + 9, 46, name))
        ]

    def _coloured(self) -> list[tuple[str, str]]:
        last = _COLOURS[len(_COLOURS) - len(self.series) :]
        return list(zip(self.series, last, strict=True))

    def _grid(self, bottom: float) -> list[str]:
        low, high = self._decades()
        ticks = [step * 10**power for power in range(low, high) for step in (1, 3)] + [10**high]
        return [
            part
            for tick in ticks
            for part in (
                f"<path d='M{self._x(tick):.1f} {_TOP - 8}V{bottom}' stroke='#ddd'/>",
                _text(self._x(tick), bottom + 18, _seconds(tick), anchor="middle"),
            )
        ]

    def _row(self, n: int, name: str) -> list[str]:
        y = _TOP + _ROW * n + _ROW / 2 - 4
        ours = name.startswith(self.ours)
        xs = [self._x(value) for value in self.rows[name]]
        colour, weight = (_OURS, "bold") if ours else ("#333", "normal")
        return [
            _text(_LEFT - 14, y + 4, name, anchor="end", weight=weight, colour=colour),
            f"<path d='M{min(xs):.1f} {y}H{max(xs):.1f}' stroke='{_OURS if ours else '#bbb'}'/>",
            *(_dot(x, y, colour) for x, (_, colour) in zip(xs, self._coloured(), strict=True)),
        ]

    def _decades(self) -> tuple[int, int]:
        values = [value for row in self.rows.values() for value in row]
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        return low, max(high, low + 1)

    def _x(self, value: float) -> float:
        low, high = self._decades()
        return _LEFT + _WIDTH * (math.log10(value) - low) / (high - low)


def _seconds(value: float) -> str:
    return f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms"


def _dot(x: float, y: float, colour: str) -> str:
    return f"<circle cx='{x:.1f}' cy='{y}' r='4.5' fill='{colour}'/>"


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    colour: str = "#333",
) -> str:
    style = f"text-anchor='{anchor}' font-weight='{weight}' fill='{colour}'"
    return f"<text x='{x:.1f}' y='{y}' {style}>{escape(text)}</text>"
