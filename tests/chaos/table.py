"""Prints the table of docs/reliability.md from what `make chaos` has collected."""

import json
import sys
from collections import defaultdict
from pathlib import Path

_SHOWN = {"-9": "137 (killed)"}


def table(lines: list[str]) -> str:
    """Return Markdown: a row for each workload and harm, in the order in which they were tried."""
    rows = [
        "| workload | messages to server, to job | what was done | tried | survived | ended with |",
        "|---|---:|---|---:|---:|---|",
    ]
    totals: dict[str, int] = defaultdict(int)
    for found in map(json.loads, lines):
        messages = ", ".join(f"{count:,}" for count in found["messages"].values())
        ended = ", ".join(f"{_SHOWN.get(c, c)}: {n} times" for c, n in found["ended"].items())
        survived = sum(found["ended"].values())
        rows.append(
            f"| {found['workload']} | {messages} | {found['harm']} | {found['tried']} | "
            f"{survived} | {ended} |"
        )
        totals["tried"] += found["tried"]
        totals["survived"] += survived
    rows.append(f"| all | | | {totals['tried']:,} | {totals['survived']:,} | |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).read_text().splitlines()))
