"""The documentation page with the figures: each benchmark's are between two markers."""

from collections.abc import Sequence
from pathlib import Path

from bench.chart import Chart
from bench.harness import BenchError


def put(page: Path, name: str, paragraphs: Sequence[str]) -> None:
    """Replace a benchmark's former paragraphs on the page."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, begun, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        raise BenchError(f"{page.name} has no place for {name}")
    page.write_text("\n\n".join([before + begin.strip(), *paragraphs, end + after]))


def draw(page: Path, chart: Chart) -> None:
    """Write a chart into the folder next to the page, to which the page links."""
    folder = page.with_suffix("")
    folder.mkdir(exist_ok=True)
    (folder / f"{chart.name}.svg").write_text(chart.svg())
