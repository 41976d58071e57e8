"""A file that replaces older ones: `-- predeploy: replaces 0001..0050`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from predeploy.settings.versions import Version, version_of, written
from predeploy.sources.script import Script

REPLACES = "replaces"
_HEADER = re.compile(r"\A\s*(?:--[^\n]*\n\s*)*?--\s*predeploy:\s*replaces\b([^\n]*)", re.IGNORECASE)
_VERSION = re.compile(r"\d{4}[-_]\d{2}[-_]\d{2}|\d+")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Versions from `first` to `last`, both of them included."""

    first: Version
    last: Version

    def __str__(self) -> str:
        """As a header has it."""
        return f"{written(self.first)}..{written(self.last)}"

    def __contains__(self, version: Version) -> bool:
        """Whether it holds a version."""
        return self.first <= version <= self.last


@dataclass(frozen=True, slots=True)
class Squash:
    """A file, by name, and the versions of the files that it replaces."""

    file: str
    spans: tuple[Span, ...]

    @property
    def reach(self) -> Version:
        """The newest version that it replaces."""
        return max(span.last for span in self.spans)

    def replaces(self, version: Version) -> bool:
        """Whether it replaces files of this version."""
        return any(version in span for span in self.spans)

    def __str__(self) -> str:
        """As a header has it, and the ledger."""
        return ", ".join(map(str, self.spans))


def squash_of(script: Script) -> Squash | None:
    """Return what a file's header says it replaces; None without a valid header."""
    header = _HEADER.match(script.text)
    spans = spans_of(header[1]) if header else ()
    return Squash(script.name, spans) if spans else None


def spans_of(text: str) -> tuple[Span, ...]:
    """Read `0001..0050, 0052`; return an empty tuple if the text is not a list of versions."""
    spans = []
    for part in text.split(","):
        written = [end.strip() for end in part.split("..")]
        # 0001-0002 is no version: it would be read as the first of the two.
        if len(written) > 2 or not all(map(_VERSION.fullmatch, written)):  # noqa: PLR2004
            return ()
        ends = [version_of(end) for end in written]
        if ends[0] > ends[-1]:
            return ()
        spans.append(Span(ends[0], ends[-1]))
    return tuple(spans)


def header_for(names: Iterable[str]) -> str:
    """Return the header for a squash of these files, as they write their versions."""
    ordered = sorted(names, key=lambda name: (version_of(name), name))
    ends = [match[0] if (match := _VERSION.match(name)) else "0" for name in ordered]
    return f"-- predeploy: {REPLACES} {ends[0]}..{ends[-1]}"
