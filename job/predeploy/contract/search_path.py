"""The search_path that a connection string gives, and how PostgreSQL reads the text of one.

https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATH
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

from predeploy.contract.quoting import identifier

PATH_PARAMETERS = ("schema", "search_path", "currentSchema")
"""The URL parameters that set the search_path: those of Prisma, of Go's drivers and of JDBC."""

_UPPER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
# possessive, so that a quote that is never closed is not read as a name
_NAME = r'(?:"((?:[^"]|"")*+)"|([^\s,"]++))'
_SPACE = " \t\n\v\f\r"
_LIST = re.compile(rf"[{_SPACE}]*{_NAME}[{_SPACE}]*(?:,[{_SPACE}]*{_NAME}[{_SPACE}]*)*")
_ASSIGNMENT = re.compile(r"(?s)(?:--|-c)([\w.-]+)=(.*)")
_LISTED = "a list of schemas, such as app,public"
_NAMED = "the name of a schema, such as app"


@dataclass(frozen=True, slots=True)
class SearchPath:
    """The schemas in which an unqualified name is looked up, named as in the catalog.

    `"$user"` means the role. `given_by` says where they come from, for messages: `PGOPTIONS`, or
    `the parameter schema in DATABASE_URL`.
    """

    names: tuple[str, ...]
    given_by: str

    @property
    def text(self) -> str:
        """The setting's text, every name quoted; that of no schema is an empty one."""
        return ", ".join(identifier(name) for name in self.names) or "''"


def read_names(text: str) -> tuple[str, ...]:
    """Return the names in the text of a search_path, folded and unquoted as the server does.

    A blank text has no names; empty names are ignored. Raises ValueError for a text that the server
    would refuse.
    """
    if not text.strip(_SPACE):
        return ()
    if not _LIST.fullmatch(text):
        raise ValueError(_LISTED)
    found = re.findall(_NAME, text)
    names = (quoted.replace('""', '"') or bare.translate(_UPPER) for quoted, bare in found)
    return tuple(name for name in names if name)


def apart(
    parameters: Mapping[str, str], filled: Collection[str], variable: str
) -> tuple[dict[str, str], SearchPath | None]:
    """Take the search_path out of libpq's parameters and PATH_PARAMETERS; None if they set none.

    It is set in each transaction, because poolers refuse `options` at the start of a session. What
    the address says takes precedence over PGOPTIONS, whose parameters are in `filled`. Raises
    ValueError, whose message names the parameter.
    """
    given = [(key, parameters[key]) for key in PATH_PARAMETERS if key in parameters]
    found = {key: _read_parameter(key, value) for key, value in given}
    kept = {key: value for key, value in parameters.items() if key not in found}
    rest, text = _without_path(kept.get("options", ""))
    if text is not None:
        kept |= {"options": rest}
        if not rest:
            del kept["options"]
        if "options" not in filled:
            found["options"] = _read(text, "search_path in options")
        elif not found:
            return kept, SearchPath(_read(text, "search_path in PGOPTIONS"), "PGOPTIONS")
    if len({*found.values()}) > 1:
        raise ValueError(f"{' and '.join(found)} give different schemas; keep one of them")
    by_parameter = (SearchPath(n, f"the parameter {key} in {variable}") for key, n in found.items())
    return kept, next(by_parameter, None)


def _read_parameter(keyword: str, value: str) -> tuple[str, ...]:
    """Read one of PATH_PARAMETERS: `schema` is one name, as it stands; the others are lists."""
    if keyword != "schema":
        return _read(value, keyword) or _refuse(keyword, _LISTED)
    return (value,) if value.strip() else _refuse(keyword, _NAMED)


def _read(text: str, what: str) -> tuple[str, ...]:
    try:
        return read_names(text)
    except ValueError as error:
        return _refuse(what, str(error))


def _refuse(what: str, demand: str) -> NoReturn:
    raise ValueError(f"{what} must be {demand}")


def _without_path(options: str) -> tuple[str, str | None]:
    """Return libpq's `options` without its search_path settings, and the last one's text.

    The text is None if there is none. The rest is unchanged except for white space.
    """
    kept: list[str] = []
    found: str | None = None
    words = _words(options)
    for raw, word in words:
        more = next(words, None) if word == "-c" else None
        assignment = _ASSIGNMENT.fullmatch(word + (more[1] if more else ""))
        if assignment and assignment[1].lower().replace("-", "_") == "search_path":
            found = assignment[2]
        else:
            kept += [raw, *([more[0]] if more else [])]
    return " ".join(kept), found


def _words(options: str) -> Iterator[tuple[str, str]]:
    """Yield each word of the options as it stands, and as the server reads it."""
    for match in re.finditer(rf"(?s)(?:[^\\{_SPACE}]|\\.|\\\Z)+", options):
        yield match[0], re.sub(r"(?s)\\(.?)", r"\1", match[0])
