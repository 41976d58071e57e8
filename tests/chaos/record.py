"""What `make chaos` has tried: a line for each workload's messages and for each fault, appended.

So a long form that was stopped goes on where it was, and its table tells what is missing. Of the
job's code each line names a digest: what was tried with another one does not count.
"""

import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from messages import Messages, Place
from proxy import Direction

_ROOT = Path(__file__).resolve().parents[2]


def digest_of_job() -> str:
    """Return a digest of the job's code, and of the SQL that is shipped with it."""
    digest = sha256()
    for path in sorted([*_ROOT.glob("job/**/*.py"), *_ROOT.glob("sql/**/*.*")]):
        digest.update(f"{path.relative_to(_ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Record:
    """The lines of one file that are of this job's code; without a file nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._job = digest_of_job()
        self._lock = threading.Lock()
        self.messages: dict[str, Messages] = {}
        self.ended: dict[tuple[str, str, Place], int | None] = {}
        for line in self._lines():
            self._take(line)

    def note_messages(self, workload: str, messages: Messages) -> None:
        """Keep a workload's messages, once."""
        if workload not in self.messages:
            kinds = {way.value: found.decode("latin-1") for way, found in messages.kinds.items()}
            self._append({"workload": workload, "kinds": kinds})

    def note(self, workload: str, harm: str, place: Place, status: int | None) -> None:
        """Keep how the job ended that was disturbed there; None: it was not made good."""
        way, at = place
        self._append(
            {"workload": workload, "harm": harm, "to": way.value, "at": at, "status": status}
        )

    def _append(self, line: dict) -> None:
        with self._lock:
            self._take(line)
            if self._path is not None:
                with self._path.open("a") as lines:
                    lines.write(json.dumps({"job": self._job, **line}) + "\n")

    def _take(self, line: dict) -> None:
        workload = line["workload"]
        if "kinds" in line:
            kinds = {Direction(w): found.encode("latin-1") for w, found in line["kinds"].items()}
            self.messages[workload] = Messages(kinds)
        else:
            place = (Direction(line["to"]), line["at"])
            self.ended[workload, line["harm"], place] = line["status"]

    def _lines(self) -> Iterator[dict]:
        if self._path is not None and self._path.exists():
            every = map(json.loads, self._path.read_text().splitlines())
            yield from (line for line in every if line.get("job") == self._job)
