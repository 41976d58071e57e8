"""Calls the parser with as much stack as a text may need."""

import threading
from typing import Any

import postgast
from google._upb import _message
from google.protobuf.message import DecodeError
from postgast import pg_query_pb2 as pb

# Without it protobuf refuses deep but ordinary SQL (48 chained ||) with a DecodeError that is no
# syntax error. The call is private to protobuf; postgast offers none of its own.
_message.SetAllowOversizeProtos(True)  # noqa: FBT003

_COMMENTS = (pb.SQL_COMMENT, pb.C_COMMENT)
# libpg_query recurses into a tree and has no limit: some 20,000 operators in a chain end the
# process (SIGSEGV) on an ordinary stack. No text below this size nests so deep.
_CHARACTERS = 50_000
_STACK_BYTES = 1 << 29  # of addresses; memory is taken as it is used


def parse(text: str) -> Any:
    """Return what libpg_query makes of a text. Raises postgast.PgQueryError for what is no SQL."""
    if len(text) < _CHARACTERS:
        return _parse(text)
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(_parse(text))
        except postgast.PgQueryError as error:
            outcome.append(error)

    before = threading.stack_size(_STACK_BYTES)
    try:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
    except RuntimeError:  # so many addresses are not to be had
        return _parse(text)
    finally:
        threading.stack_size(before)
    thread.join()
    (result,) = outcome
    if isinstance(result, postgast.PgQueryError):
        raise result
    return result


def tokens(text: str) -> list[Any]:
    """Return the tokens of a text but its comments, with places in bytes of UTF-8.

    Raises postgast.PgQueryError where it cannot be taken apart, such as a quote that never ends.
    """
    return [token for token in postgast.scan(text).tokens if token.token not in _COMMENTS]


def _parse(text: str) -> Any:
    try:
        return postgast.parse(text)
    except DecodeError:
        raise postgast.PgQueryError("it is nested too deeply to be read") from None
