"""Text that may stand in JCL: each value is checked when it is made, so that nothing unchecked is written."""

from __future__ import annotations

import re

from mlship.errors import ConfigError
from mlship_batch.names import DataSetName, NotAName, is_name, read_data_set

# What every code page of EBCDIC has at the same place, without & (a symbol's first letter).
_PLAIN = re.compile(r"[A-Za-z0-9 .,:;/()*+\-=_'%?<>\"@#$]*")
_PATH = re.compile(r"/[A-Za-z0-9._/@#$-]*")
_OPERAND = re.compile(r"[A-Z0-9@#$.()*+\-=&/]+")
_CARD = re.compile(r"[\x20-\x7e]{0,80}")
LONGEST_PARM, LONGEST_PATH, WIDTH = 100, 250, 80


def name(text: str, what: str) -> str:
    """A name of up to eight characters. Raises ConfigError."""
    if not is_name(text):
        raise ConfigError(
            f"{text!r} is no name of a {what}", fix="Up to eight of A-Z 0-9 @ # $, not a digit first"
        )
    return text


def data_set(text: str) -> DataSetName:
    """`A.B`, `A.B(MEMBER)`, `A.B(+1)`. Raises ConfigError."""
    try:
        return read_data_set(text)
    except NotAName as wrong:
        raise ConfigError(str(wrong), fix="Up to eight of A-Z 0-9 @ # $ - between dots, 44 in all") from wrong


def path(text: str) -> str:
    """An absolute path of z/OS UNIX, with nothing in it that a shell or JCL would read otherwise. Raises
    ConfigError."""
    if not _PATH.fullmatch(text) or len(text) > LONGEST_PATH or "/../" in f"{text}/":
        raise ConfigError(
            f"{text!r} is no path for a job", fix="Letters, digits and . _ - @ # $ between slashes"
        )
    return text


def plain(text: str, what: str, longest: int = LONGEST_PARM) -> str:
    """Text between quotes. Raises ConfigError for what is too long or not the same in every code page."""
    if len(text) > longest or not _PLAIN.fullmatch(text):
        raise ConfigError(
            f"{text[:40]!r} cannot be a {what}",
            cause=f"it has more than {longest} characters, or some that code pages disagree about",
        )
    return text


def operand(text: str, what: str) -> str:
    """One operand of the site's own, without quotes. Raises ConfigError."""
    if not _OPERAND.fullmatch(text) or text.count("(") != text.count(")"):
        raise ConfigError(f"{text!r} cannot be a {what}")
    return text


def card(text: str) -> str:
    """A line of in-stream data. Raises ConfigError."""
    if not _CARD.fullmatch(text):
        raise ConfigError(f"{text[:40]!r} is no card", cause=f"a card has {WIDTH} columns of printable ASCII")
    return text


def number(value: int, least: int, most: int, what: str) -> int:
    """Raises ConfigError."""
    if not least <= value <= most:
        raise ConfigError(f"{value} is no {what}", fix=f"From {least} to {most}")
    return value
