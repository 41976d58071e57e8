"""Prints the table of docs/reliability.md from what `make chaos` has recorded."""

import sys
from collections import Counter
from collections.abc import Collection
from pathlib import Path

# Started by its name, from anywhere.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from messages import Depth, Place
from record import Record

_HEAD = (
    "| workload | messages to server, to job | what was done | turns tried "
    "| messages tried | survived | ended with |"
)
_SHOWN = {-9: "137 (killed)"}


def table(record: Record) -> str:
    """Return Markdown: a row for each workload and harm, each in the order of their first try."""
    rows = [_HEAD, "|---|---:|---|---:|---:|---:|---|"]
    tried = survived = 0
    pairs = dict.fromkeys((workload, harm) for workload, harm, _ in record.ended)
    known = list(record.messages)
    for workload, harm in sorted(pairs, key=lambda pair: known.index(pair[0])):
        messages = record.messages[workload]
        found = {at: end for (w, h, at), end in record.ended.items() if (w, h) == (workload, harm)}
        ends = Counter(end for end in found.values() if end is not None)
        tried, survived = tried + len(found), survived + ends.total()
        counts = ", ".join(f"{len(kinds):,}" for kinds in messages.kinds.values())
        shares = " | ".join(_share(found, messages.places(depth)) for depth in Depth)
        ended = ", ".join(f"{_SHOWN.get(end, end)}: {n:,} times" for end, n in sorted(ends.items()))
        rows.append(f"| {workload} | {counts} | {harm} | {shares} | {ends.total():,} | {ended} |")
    rows.append(f"| all | | | | {tried:,} | {survived:,} | |")
    return "\n".join(rows)


def _share(tried: Collection[Place], possible: Collection[Place]) -> str:
    found = sum(place in tried for place in possible)
    return f"all {found:,}" if found == len(possible) else f"{found:,} of {len(possible):,}"


if __name__ == "__main__":
    print(table(Record(Path(sys.argv[1]))))
