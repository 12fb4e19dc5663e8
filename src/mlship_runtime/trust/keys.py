"""Public keys: points of P-256 in the form of `openssl` (SubjectPublicKeyInfo in PEM), read strictly."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.p256 import on_curve

MAX_PEM_BYTES = 1 << 16
_BEGIN, _END = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"
# RFC 5480: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING { uncompressed point } }
_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_UNCOMPRESSED = 4
_SIZE = 32  # bytes of a coordinate


@dataclass(frozen=True)
class PublicKey:
    """A point of the curve."""

    x: int
    y: int

    @property
    def pem(self) -> bytes:
        """The one text that stands for this key."""
        point = bytes([_UNCOMPRESSED]) + b"".join(n.to_bytes(_SIZE, "big") for n in (self.x, self.y))
        text = base64.b64encode(_HEAD + point).decode("ascii")
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        return "\n".join([_BEGIN, *lines, _END, ""]).encode("ascii")

    @property
    def id(self) -> str:
        """The name of the key: the sha256 of its PEM text, which is also what `sha256sum KEY.pub` prints."""
        return hashlib.sha256(self.pem).hexdigest()


def read_public_key(data: bytes, place: str = "the public key") -> PublicKey:
    """The key in a PEM file; raises InvalidBundle unless it is a point of P-256, written the usual way."""
    text = data.replace(b"\r\n", b"\n")
    if len(data) > MAX_PEM_BYTES or b"PRIVATE KEY" in text:
        raise InvalidBundle(f"{place} is none", cause="it holds a private key or far too much")
    try:
        lines = text.decode("ascii").split("\n")
        if lines[0] != _BEGIN or lines[-2:] != [_END, ""]:
            raise InvalidBundle(f"{place} is none", cause="it is not a PEM file with one PUBLIC KEY")
        der = base64.b64decode("".join(lines[1:-2]), validate=True)
    except (UnicodeDecodeError, binascii.Error) as error:
        raise InvalidBundle(f"{place} cannot be read", cause=str(error)) from error
    key = read_spki(der, place)
    if key.pem != text:
        raise InvalidBundle(f"{place} is not written the usual way", cause="its lines are of another length")
    return key


def read_spki(der: bytes, place: str = "the public key") -> PublicKey:
    """The key in DER; raises InvalidBundle as `read_public_key`."""
    point = der[len(_HEAD) :]
    if not der.startswith(_HEAD) or len(point) != 1 + 2 * _SIZE or point[0] != _UNCOMPRESSED:
        raise InvalidBundle(
            f"{place} is of another kind", cause="only ECDSA keys on P-256 are known, the point uncompressed"
        )
    key = PublicKey(int.from_bytes(point[1 : 1 + _SIZE], "big"), int.from_bytes(point[1 + _SIZE :], "big"))
    if not on_curve(key.x, key.y):
        raise InvalidBundle(f"{place} is no key", cause="its point is not on the curve P-256")
    return key
