"""`python -m bench [NAME]`: run one benchmark, or all, and print their tables."""

import argparse
import os
import platform
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from bench import (
    against,
    column,
    copies,
    fresh,
    large,
    live,
    page,
    reader,
    scale,
    settled,
    stall,
    thousand,
)
from bench.chart import Chart
from bench.harness import Ground, ground

BENCHMARKS = {
    "stall": stall.SHORT,
    "held": stall.HELD,
    "live": live.BENCHMARK,
    "scale": scale.BENCHMARK,
    "settled": settled.BENCHMARK,
    "fresh": fresh.BENCHMARK,
    "column": column.BENCHMARK,
    "large": large.BENCHMARK,
    "peers": against.BENCHMARK,
    "thousand": thousand.BENCHMARK,
    "copies": copies.BENCHMARK,
    "reader": reader.BENCHMARK,
}


def main() -> None:
    """Run the benchmarks that the command line names, each on a separate server."""
    asked = _parser().parse_args()
    for name in (asked.name,) if asked.name else BENCHMARKS:
        with ground() as here:
            said = list(_printed(_report(here, name, asked)))
        if asked.page:
            page.put(asked.page, name, said[1:])


def _printed(paragraphs: Iterable[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        print(f"{paragraph}\n", flush=True)
        yield paragraph


def _report(here: Ground, name: str, asked: argparse.Namespace) -> Iterator[str]:
    benchmark = BENCHMARKS[name]
    size = benchmark.small if asked.small else benchmark.usual
    size = replace(
        size,
        rounds=asked.rounds or size.rounds,
        counts=asked.counts or size.counts,
        peers=tuple(asked.peers.split()) or size.peers,
        delays_ms=asked.delays or size.delays_ms,
    )
    yield f"## {benchmark.title}"
    yield f"```sh\n{_command(name, asked)}\n```"
    yield f"{_machine(here)}; rounds: {size.rounds}."
    for part in benchmark.measure(here, size):
        if isinstance(part, Chart) and asked.page:
            page.draw(asked.page, part)
        yield part.markdown()


def _command(name: str, asked: argparse.Namespace) -> str:
    said = {
        "BENCH": name,
        "N": ",".join(str(number) for number in asked.counts),
        "ROUNDS": asked.rounds,
        "PEERS": asked.peers and f'"{asked.peers}"',
        "DELAYS": ",".join(str(number) for number in asked.delays),
        "SIZE": asked.small and "small",
    }
    return " ".join(("make bench", *(f"{key}={value}" for key, value in said.items() if value)))


def _machine(here: Ground) -> str:
    with here.database() as database, database.connect() as conn:
        server_version = conn.info.server_version
    return (
        f"PostgreSQL {server_version // 10000}.{server_version % 10000}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores"
    )


def _parser() -> argparse.ArgumentParser:
    counted = "; ".join(f"{name}: {b.counted}" for name, b in BENCHMARKS.items() if b.counted)
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "name", nargs="?", choices=list(BENCHMARKS), help="all of them unless named"
    )
    parser.add_argument("--small", action="store_true", help="the least of everything, in seconds")
    parser.add_argument("--rounds", type=int, help="how often each thing is timed")
    parser.add_argument("--counts", type=_numbers, default=(), help=f"as 42,1000 ({counted})")
    parser.add_argument("--peers", default="", help="as 'dbmate alembic'; all of them unless named")
    parser.add_argument("--delays", type=_numbers, default=(), help="of a round trip, as 0,10, ms")
    parser.add_argument("--page", type=Path, help="the Markdown to put figures and charts into")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.replace("_", "").split(","))


if __name__ == "__main__":
    main()
