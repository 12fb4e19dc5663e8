"""The verifier against signatures of `cryptography`, and against everything that is none."""

from __future__ import annotations

import hashlib
from itertools import product

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from mlship_runtime.errors import InvalidBundle
from mlship_runtime.trust.ecdsa import read_signature, signed_by
from mlship_runtime.trust.keys import PublicKey, read_public_key, read_spki
from mlship_runtime.trust.p256 import GENERATOR, N, P, holds

PRIVATE = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
NUMBERS = PRIVATE.public_key().public_numbers()
KEY = PublicKey(NUMBERS.x, NUMBERS.y)
MESSAGE = b"what is signed"
SIGNATURE = PRIVATE.sign(MESSAGE, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
R, S = decode_dss_signature(SIGNATURE)
DIGEST = hashlib.sha256(MESSAGE).digest()
PEM = PRIVATE.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
DER = PRIVATE.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)


@settings(max_examples=60)
@given(st.integers(1, N - 1), st.binary(max_size=300))
def test_what_cryptography_signs_holds(secret: int, message: bytes) -> None:
    private = ec.derive_private_key(secret, ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    key, signature = PublicKey(numbers.x, numbers.y), private.sign(message, ec.ECDSA(hashes.SHA256()))
    assert signed_by(key, message, signature)
    assert not signed_by(key, message + b"!", signature)
    assert not signed_by(KEY, message, signature)


@pytest.mark.parametrize("secret", [1, 2, 3, N - 1, N - 2, (N + 1) // 2, 1 << 128, (1 << 255) - 19])
def test_keys_near_the_edges(secret: int) -> None:
    """Among them the generator and its negative, whose sums with the generator double or vanish."""
    private = ec.derive_private_key(secret, ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    for number in range(8):
        message = bytes([number])
        signature = private.sign(message, ec.ECDSA(hashes.SHA256()))
        assert signed_by(PublicKey(numbers.x, numbers.y), message, signature)
        assert not signed_by(PublicKey(numbers.x, P - numbers.y), message, signature)


def test_both_halves_of_s_are_valid() -> None:
    for s in (S, N - S):
        assert signed_by(KEY, MESSAGE, encode_dss_signature(R, s))


EDGES = (0, 1, 2, N - 1, N, N + 1, P - 1, P, P + 1, (1 << 256) - 1, 1 << 256, R, S)


@pytest.mark.parametrize(("r", "s"), [pair for pair in product(EDGES, EDGES) if pair != (R, S)])
def test_numbers_at_the_edges_do_not_hold(r: int, s: int) -> None:
    assert not holds((KEY.x, KEY.y), DIGEST, r, s)


@pytest.mark.parametrize(("r", "s"), [(-R, S), (R, -S), (R + N, S), (R, S + N), (N - R, S), (S, R)])
def test_relatives_of_a_signature_do_not_hold(r: int, s: int) -> None:
    assert holds((KEY.x, KEY.y), DIGEST, R, S)
    assert not holds((KEY.x, KEY.y), DIGEST, r, s)


def test_a_sum_at_infinity_does_not_hold() -> None:
    """Key = -generator and r = the digest's number: both multiples cancel out."""
    number = int.from_bytes(DIGEST, "big") % N
    assert not holds((GENERATOR[0], P - GENERATOR[1]), DIGEST, number, 5)


def test_a_sum_of_equal_points_is_doubled() -> None:
    """Key = generator and r = the digest's number: forged for the one key whose secret everybody knows."""
    digest = (1).to_bytes(32, "big")
    secret = ec.derive_private_key(1, ec.SECP256R1())
    numbers = secret.public_key().public_numbers()
    assert (numbers.x, numbers.y) == GENERATOR
    r = ec.derive_private_key(7, ec.SECP256R1()).public_key().public_numbers().x % N
    s = pow(7, -1, N) * (1 + r) % N
    assert holds(GENERATOR, digest, r, s)


def test_r_that_wrapped_around_is_compared_with_r_plus_n() -> None:
    """The x of a point may lie between N and P; its r is then x - N. Such points are too rare to sign with
    one, so the key is computed from the point: Q = r^-1 (s R - e G)."""
    x = next(x for x in range(N, N + 1000) if pow(x**3 - 3 * x + B, (P - 1) // 2, P) == 1)
    y = pow(x**3 - 3 * x + B, (P + 1) // 4, P)
    zero = bytes(32)  # e = 0: Q = r^-1 s R, so with s = r the key is R itself
    assert holds((x, y), zero, x - N, x - N)
    assert not holds((x, y), zero, x - N + 1, x - N)


B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def test_every_single_bit_of_signature_and_message_counts() -> None:
    for index, bit in product(range(len(SIGNATURE)), range(8)):
        changed = bytearray(SIGNATURE)
        changed[index] ^= 1 << bit
        try:
            assert not signed_by(KEY, MESSAGE, bytes(changed)), (index, bit)
        except InvalidBundle:
            continue
    for index in range(len(MESSAGE) * 8):
        message = bytearray(MESSAGE)
        message[index // 8] ^= 1 << index % 8
        assert not signed_by(KEY, bytes(message), SIGNATURE)


def integer(value: bytes) -> bytes:
    return bytes([2, len(value)]) + value


def sequence(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([0x30, len(body)]) + body


r_bytes = R.to_bytes(33, "big").lstrip(b"\0")
r_bytes = b"\0" + r_bytes if r_bytes[0] >= 0x80 else r_bytes
s_bytes = S.to_bytes(33, "big").lstrip(b"\0")
s_bytes = b"\0" + s_bytes if s_bytes[0] >= 0x80 else s_bytes
GOOD = sequence(integer(r_bytes), integer(s_bytes))

MALFORMED = {
    "nothing": b"",
    "a tag alone": b"\x30",
    "raw r and s": R.to_bytes(32, "big") + S.to_bytes(32, "big"),
    "bytes after it": GOOD + b"\0",
    "bytes inside it": sequence(integer(r_bytes), integer(s_bytes), b"\0"),
    "a third number": sequence(integer(r_bytes), integer(s_bytes), integer(b"\1")),
    "one number": sequence(integer(r_bytes)),
    "no number": sequence(),
    "a number of no bytes": sequence(integer(b""), integer(s_bytes)),
    "a zero too many": sequence(integer(b"\0" + r_bytes), integer(s_bytes)),
    "a zero too many in s": sequence(integer(r_bytes), integer(b"\0" + s_bytes)),
    "two zeros": sequence(integer(b"\0\0"), integer(s_bytes)),
    "negative": sequence(integer(b"\xff" * 32), integer(s_bytes)),
    "another tag within": sequence(b"\x04" + integer(r_bytes)[1:], integer(s_bytes)),
    "a set": b"\x31" + GOOD[1:],
    "a long length": b"\x30\x81" + GOOD[1:],
    "a length without end": b"\x30\x80" + GOOD[2:] + b"\0\0",
    "a long length within": sequence(b"\x02\x81" + integer(r_bytes)[1:], integer(s_bytes)),
    "cut off": GOOD[:-1],
    "cut off with its length": sequence(integer(r_bytes), integer(s_bytes)[:-1]),
    "far too long": sequence(integer(b"\1" * 60), integer(s_bytes)),
}


def test_good_der_is_read() -> None:
    assert read_signature(GOOD) == (R, S)
    assert GOOD == SIGNATURE


@pytest.mark.parametrize("name", MALFORMED)
def test_other_forms_than_der_are_refused(name: str) -> None:
    with pytest.raises(InvalidBundle, match="not ECDSA in DER"):
        read_signature(MALFORMED[name])


@given(st.binary(max_size=90))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidBundle):
        signed_by(KEY, MESSAGE, data)


def test_a_public_key_is_read_and_named_as_sha256sum_would() -> None:
    key = read_public_key(PEM)
    assert key == KEY
    assert key.pem == PEM
    assert key.id == hashlib.sha256(PEM).hexdigest()
    assert read_public_key(PEM.replace(b"\n", b"\r\n")) == KEY


def spki(curve: ec.EllipticCurve) -> bytes:
    public = ec.derive_private_key(5, curve).public_key()
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def point(x: int, y: int, kind: int = 4) -> bytes:
    return DER[:26] + bytes([kind]) + x.to_bytes(32, "big") + y.to_bytes(32, "big")


WRONG_KEYS = {
    "another curve": spki(ec.SECP384R1()),
    "another curve of the same size": spki(ec.SECP256K1()),
    "not on the curve": point(KEY.x, KEY.y ^ 1),
    "zero": point(0, 0),
    "x beyond the field": point((1 << 256) - 1, KEY.y),
    "y beyond the field": point(KEY.x, P) if KEY.x else b"",
    "infinity": DER[:1] + bytes([26]) + DER[2:24] + bytes([2, 0, 0]),
    "infinity in full length": point(0, 0, 0),
    "compressed": DER[:26] + bytes([2]) + KEY.x.to_bytes(32, "big"),
    "hybrid": point(KEY.x, KEY.y, 6),
    "bytes after it": DER + b"\0",
    "cut off": DER[:-1],
    "nothing": b"",
}


def test_a_key_in_der_is_read() -> None:
    assert read_spki(DER) == KEY
    assert point(KEY.x, KEY.y) == DER


@pytest.mark.parametrize("name", WRONG_KEYS)
def test_wrong_keys_are_refused(name: str) -> None:
    with pytest.raises(InvalidBundle):
        read_spki(WRONG_KEYS[name])


def test_every_single_bit_of_a_key_makes_another_or_none() -> None:
    for index in range(len(PEM) * 8):
        changed = bytearray(PEM)
        changed[index // 8] ^= 1 << index % 8
        with pytest.raises(InvalidBundle):
            read_public_key(bytes(changed))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        PEM + PEM,
        PEM[:-1],
        b"\n" + PEM,
        PEM + b"\n",
        b"comment\n" + PEM,
        PEM.replace(b"PUBLIC", b"EC PUBLIC"),
        PEM.replace(b"\n", b" "),
        PRIVATE.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    ],
)
def test_only_one_form_of_pem_is_read(text: bytes) -> None:
    with pytest.raises(InvalidBundle):
        read_public_key(text)
