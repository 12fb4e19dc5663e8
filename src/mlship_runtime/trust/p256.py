"""The curve P-256 and the check of an ECDSA signature on it.

Source: SEC 1 version 2.0, section 4.1.4; the constants are those of FIPS 186-4, D.1.2.3. Only public values
are handled here, so that it does not matter how long a computation takes.
"""

from __future__ import annotations

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
GENERATOR = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

_Point = tuple[int, int, int]  # Jacobian: (x / z^2, y / z^3); z = 0 is the point at infinity
_INFINITY: _Point = (1, 1, 0)


def on_curve(x: int, y: int) -> bool:
    """Whether x and y are coordinates below P of a point of the curve (which infinity is not)."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x - 3 * x + B)) % P == 0


def holds(key: tuple[int, int], digest: bytes, r: int, s: int) -> bool:
    """Whether (r, s) is a signature of the SHA-256 `digest` by the point `key`, which is on the curve."""
    if not (0 < r < N and 0 < s < N and len(digest) == 32):
        return False
    inverse = pow(s, -1, N)
    number = int.from_bytes(digest, "big")
    x, _, z = _sum_of_multiples(number * inverse % N, GENERATOR, r * inverse % N, key)
    if z == 0:
        return False
    square = z * z % P
    return any(wanted < P and wanted * square % P == x for wanted in (r, r + N))


def _sum_of_multiples(a: int, one: tuple[int, int], b: int, other: tuple[int, int]) -> _Point:
    """a * one + b * other, doubling for both at once."""
    points = (_INFINITY, (*one, 1), (*other, 1), _add((*one, 1), (*other, 1)))
    total = _INFINITY
    for bit in range(max(a.bit_length(), b.bit_length()) - 1, -1, -1):
        total = _add(_double(total), points[(a >> bit & 1) | (b >> bit & 1) << 1])
    return total


def _double(point: _Point) -> _Point:
    x, y, z = point
    if z == 0 or y == 0:
        return _INFINITY
    y2 = y * y % P
    s = 4 * x * y2 % P
    m = 3 * (x - z * z) * (x + z * z) % P
    x3 = (m * m - 2 * s) % P
    return x3, (m * (s - x3) - 8 * y2 * y2) % P, 2 * y * z % P


def _add(one: _Point, other: _Point) -> _Point:
    if one[2] == 0:
        return other
    if other[2] == 0:
        return one
    (x1, y1, z1), (x2, y2, z2) = one, other
    z11, z22 = z1 * z1 % P, z2 * z2 % P
    u1, u2 = x1 * z22 % P, x2 * z11 % P
    s1, s2 = y1 * z2 * z22 % P, y2 * z1 * z11 % P
    h, r = (u2 - u1) % P, (s2 - s1) % P
    if h == 0:
        return _double(one) if r == 0 else _INFINITY
    h2 = h * h % P
    h3, v = h * h2 % P, u1 * h2 % P
    x3 = (r * r - h3 - 2 * v) % P
    return x3, (r * (v - x3) - s1 * h3) % P, h * z1 * z2 % P
