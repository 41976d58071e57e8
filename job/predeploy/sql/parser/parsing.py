"""Calls the parser, except for texts that are nested too deeply for it."""

from collections.abc import Iterator
from typing import Any

import postgast
from google._upb import _message
from google.protobuf.message import DecodeError
from postgast import pg_query_pb2 as pb

from predeploy.sql.parser.constants import abridged
from predeploy.sql.parser.depth import is_too_deep
from predeploy.sql.parser.scanning import Token, scanned

# Without it protobuf refuses deep but ordinary SQL (48 chained ||) with a DecodeError that is not a
# syntax error. The call is private to protobuf; postgast offers none of its own.
_message.SetAllowOversizeProtos(True)  # noqa: FBT003

_COMMENTS = (pb.SQL_COMMENT, pb.C_COMMENT)


class TooDeepError(postgast.PgQueryError):
    """The text may be nested more deeply than the parser can handle, or take it too long."""

    def __init__(self) -> None:
        """Set the message; no position is known."""
        super().__init__("it is nested too deeply to be read")


def parse(text: str) -> Any:
    """Return libpg_query's tree of a text; of a long INSERT's constants, only the first row.

    Raises postgast.PgQueryError for text that is not valid SQL; its subclass TooDeepError for text
    that is left to the server unread.
    """
    short = abridged(text)
    try:
        return _parsed(short)
    except postgast.PgQueryError:
        if short is text:
            raise
    return _parsed(text)  # for the error's position in the whole text


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text without its comments, with offsets in bytes of UTF-8.

    Raises postgast.PgQueryError if the text cannot be scanned, such as for a quote that never ends.
    """
    return (token for token in scanned(text) if token.token not in _COMMENTS)


def _parsed(text: str) -> Any:
    if is_too_deep(text):
        raise TooDeepError
    try:
        return postgast.parse(text)
    except DecodeError:
        raise TooDeepError from None
