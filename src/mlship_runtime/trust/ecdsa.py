"""ECDSA signatures as `openssl` writes them: DER, read strictly; P-256 with SHA-256."""

from __future__ import annotations

import hashlib

from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.keys import PublicKey
from mlship_runtime.trust.p256 import holds

_SEQUENCE, _INTEGER = 0x30, 0x02
_LONGEST = 33  # bytes of an integer below 2^256, with the zero that keeps it positive


def signed_by(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (DER) of `message` was made with the private part of `key`. As ECDSA has it, (r, s)
    and (r, n - s) both count; raises InvalidBundle for what is no signature at all."""
    r, s = read_signature(signature)
    return holds((key.x, key.y), hashlib.sha256(message).digest(), r, s)


def read_signature(der: bytes) -> tuple[int, int]:
    """r and s; raises InvalidBundle for any other form than the one that DER allows."""
    if len(der) < 2 or der[0] != _SEQUENCE or der[1] != len(der) - 2 or der[1] > 0x7F:
        raise _malformed("it is not one SEQUENCE of its length")
    r, rest = _integer(der[2:])
    s, rest = _integer(rest)
    if rest:
        raise _malformed("something follows the two numbers")
    return r, s


def _integer(data: bytes) -> tuple[int, bytes]:
    if len(data) < 2 or data[0] != _INTEGER or not 1 <= data[1] <= _LONGEST or len(data) < 2 + data[1]:
        raise _malformed("an INTEGER is missing, cut off or too long")
    value, rest = data[2 : 2 + data[1]], data[2 + data[1] :]
    if value[0] >= 0x80:
        raise _malformed("a number is negative")
    if len(value) > 1 and value[0] == 0 and value[1] < 0x80:
        raise _malformed("a number begins with a zero too many")
    return int.from_bytes(value, "big"), rest


def _malformed(cause: str) -> InvalidBundle:
    return InvalidBundle("the signature is not ECDSA in DER", cause=cause)
