"""What a registry asks for when it says 401: the WWW-Authenticate header, read strictly.

Source: RFC 9110 §11.6.1; distribution, docs/spec/auth/token.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_SCHEME = re.compile(rf"\s*({_WORD})(?:\s+|$)")
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))\s*(?:,|$)')
_MAX_HEADER = 8192


@dataclass(frozen=True)
class Challenge:
    """`scheme` in small letters."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a header, as far as they can be read."""
    found: list[Challenge] = []
    rest = header[:_MAX_HEADER]
    while rest.strip(" ,"):
        rest = rest.lstrip(" ,")
        parameter = _PARAMETER.match(rest)
        if parameter and found:
            name, quoted, plain = parameter.groups()
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            found[-1].parameters.setdefault(name.lower(), value)
            rest = rest[parameter.end() :]
            continue
        scheme = _SCHEME.match(rest)
        if not scheme:
            break
        found.append(Challenge(scheme[1].lower()))
        rest = rest[scheme.end() :]
    return found
