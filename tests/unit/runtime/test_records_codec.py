"""Records to values and back: every form of number, every code page, rounding, and where records end."""

from __future__ import annotations

import codecs
import math
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_round_trip import check_round_trip

from mlship_runtime.errors import BadInput
from mlship_runtime.records.block import Block, blank_block
from mlship_runtime.records.codepages import NAMES, UNDEFINED, code_page
from mlship_runtime.records.encode import encode_texts, encode_whole
from mlship_runtime.records.form import RecordForm
from mlship_runtime.records.framing import Framing
from mlship_runtime.records.rounding import whole_of, whole_of_texts
from mlship_runtime.records.schema import Schema
from mlship_runtime.records.table import Table


def one_field(clauses: str, **more: Any) -> Schema:
    return Schema(RecordForm(f"       01 R.\n           05 A {clauses}.\n", **more))


def decoded(schema: Schema, *records: str) -> list[Any]:
    """Each as a number without its point; None where it is none."""
    data = np.frombuffer(bytes.fromhex("".join(records)), np.uint8)
    whole, bad = Table(schema, Block(data, schema.length)).whole("a")
    return [None if wrong else int(value) for value, wrong in zip(whole.tolist(), bad.tolist(), strict=True)]


def encoded(schema: Schema, *values: int) -> list[str]:
    out = blank_block(len(values), schema.length, schema.form.page.blank)
    encode_whole(schema.columns["a"], np.array(values, np.int64), out, schema.form)
    return [out.record(at).hex() for at in range(len(values))]


@given(st.integers(0, 1 << 60))
@settings(max_examples=300)
def test_every_value_comes_back(seed: int) -> None:
    check_round_trip(seed)


# What IBM's Enterprise COBOL and GnuCOBOL write for 123, -123 and 0 (Language Reference, USAGE and SIGN).
FORMS = [
    ("PIC S9(3)", "cp037", {}, ("f1f2c3", "f1f2d3", "f0f0c0")),
    ("PIC S9(3) SIGN LEADING", "cp037", {}, ("c1f2f3", "d1f2f3", "c0f0f0")),
    ("PIC S9(3) SIGN TRAILING SEPARATE", "cp037", {}, ("f1f2f34e", "f1f2f360", "f0f0f04e")),
    ("PIC S9(3) SIGN LEADING SEPARATE", "cp273", {}, ("4ef1f2f3", "60f1f2f3", "4ef0f0f0")),
    ("PIC S9(3)", "ascii", {"signs": "ascii"}, ("313233", "313273", "303030")),
    ("PIC S9(3)", "ascii", {"signs": "ebcdic"}, ("313243", "31324c", "30307b")),
    ("PIC S9(3) COMP-3", "cp037", {}, ("123c", "123d", "000c")),
    ("PIC S9(4) COMP-3", "cp037", {}, ("00123c", "00123d", "00000c")),
    ("PIC S9(4) COMP", "cp037", {}, ("007b", "ff85", "0000")),
    ("PIC S9(4) COMP-5", "cp037", {"native": "little"}, ("7b00", "85ff", "0000")),
    ("PIC S9(9) BINARY", "cp037", {"native": "little"}, ("0000007b", "ffffff85", "00000000")),
    ("PIC S9(10) COMP", "cp037", {}, ("000000000000007b", "ffffffffffffff85", "0000000000000000")),
]


@pytest.mark.parametrize(("clauses", "page", "more", "wanted"), FORMS)
def test_the_bytes_of_numbers(clauses: str, page: str, more: dict[str, str], wanted: tuple[str, ...]) -> None:
    schema = one_field(clauses, code_page=page, **more)
    assert encoded(schema, 123, -123, 0) == list(wanted)
    assert decoded(schema, *wanted) == [123, -123, 0]


def test_unsigned_numbers_have_their_own_sign() -> None:
    assert encoded(one_field("PIC 9(3) COMP-3"), 123) == ["123f"]
    assert encoded(one_field("PIC 9(3)"), 123) == ["f1f2f3"]


@pytest.mark.parametrize(
    ("clauses", "good", "bad"),
    [
        (
            "PIC S9(3) COMP-3",
            {"123f": 123, "123a": 123, "123e": 123, "123b": -123},
            ["1234", "12ac", "4040", "ffff", "0000"],
        ),
        ("PIC 9(3) COMP-3", {"123c": 123, "123f": 123}, ["123d", "12d3", "0120"]),
        (
            "PIC S9(3)",
            {"f1f2f3": 123, "f1f2b3": -123, "f1f2a3": 123},
            ["404040", "c1f2f3", "f1f24e", "313233", "f1fac1"],
        ),
        ("PIC 9(2)", {"f1f2": 12, "f1c2": 12}, ["f1d2", "4040", "0000"]),
        ("PIC S9 SIGN LEADING SEPARATE", {"4ef1": 1, "60f1": -1}, ["f1f1", "40f1", "4e40"]),
        (
            "PIC S9(17) COMP-3",
            {"12345678901234567d": -12345678901234567},
            ["12345678901234a67d", "123456789012345671"],
        ),
    ],
)  # fmt: skip
def test_what_is_a_number_and_what_is_none(clauses: str, good: dict[str, int], bad: list[str]) -> None:
    schema = one_field(clauses)
    assert decoded(schema, *good) == list(good.values())
    assert decoded(schema, *bad) == [None] * len(bad)
    numbers = Table(
        schema, Block(np.frombuffer(bytes.fromhex("".join(bad)), np.uint8), schema.length)
    ).floats("a")
    assert np.isnan(numbers).all()


def test_all_bytes_of_a_packed_field_agree_with_a_plain_reader() -> None:
    schema = one_field("PIC S9(3) COMP-3")
    every = [f"{code:04x}" for code in range(1 << 16)]

    def plain(text: str) -> int | None:
        if not text[:3].isdigit() or text[3] not in "abcdef":
            return None
        return int(text[:3]) * (-1 if text[3] in "bd" else 1)

    assert decoded(schema, *every) == [plain(text) for text in every]


def test_hexadecimal_floats_are_read() -> None:
    # Principles of Operation, "Hexadecimal-Floating-Point Number Representation", and its examples.
    records = {"41100000": 1.0, "c1100000": -1.0, "40800000": 0.5, "c276a000": -118.625, "00000000": 0.0}
    schema = one_field("COMP-1")
    block = Block(np.frombuffer(bytes.fromhex("".join(records)), np.uint8), 4)
    assert Table(schema, block).floats("a").tolist() == list(records.values())
    double = one_field("COMP-2")
    block = Block(np.frombuffer(bytes.fromhex("423243f6a8885a30"), np.uint8), 8)
    assert Table(double, block).floats("a").tolist() == [pytest.approx(50.2654824574)]
    ieee = one_field("COMP-1", floats="ieee")
    block = Block(np.array([1.5, -2.25], ">f4").view(np.uint8), 4)
    assert Table(ieee, block).floats("a").tolist() == [1.5, -2.25]


def known_to_python(name: str) -> bool:
    try:
        return bool(codecs.lookup(name))
    except LookupError:
        return False


@pytest.mark.parametrize("name", [name for name in NAMES if known_to_python(name)])
def test_code_pages_are_those_of_python(name: str) -> None:
    page = code_page(name)
    for byte, character in enumerate(page.characters):
        assert bytes([byte]).decode(name, "replace") == character


def test_code_pages_that_python_has_not() -> None:
    known = code_page("IBM-1047")
    assert "".join(known.characters[byte] for byte in (0xAD, 0xBD, 0x5F, 0x15)) == "[]^\n"
    assert code_page("1140").characters[0x9F] == "€"
    assert len({code_page(name).characters for name in NAMES}) > 30
    assert all(
        code_page(name).characters[0xF0:0xFA] == "0123456789" for name in NAMES if code_page(name).ebcdic
    )
    with pytest.raises(BadInput, match="cp12345"):
        code_page("cp12345")


@pytest.mark.parametrize("name", NAMES)
def test_texts_of_every_code_page(name: str) -> None:
    schema = one_field("PIC X", code_page=name)
    page = schema.form.page
    block = Block(np.arange(256, dtype=np.uint8), 1)
    texts, bad = Table(schema, block).texts("a")
    assert bad.tolist() == [character == UNDEFINED for character in page.characters]
    out = blank_block(256, 1, page.blank)
    good = ["" if wrong else text for text, wrong in zip(texts, bad, strict=True)]
    faults = encode_texts(schema.columns["a"], good, out, schema.form)
    assert not faults
    again, _ = Table(schema, out).texts("a")
    assert [text for text, wrong in zip(again, bad, strict=True) if not wrong] == [
        text for text, wrong in zip(texts, bad, strict=True) if not wrong
    ]


def test_texts_that_do_not_fit() -> None:
    schema = one_field("PIC X(3)")
    out = blank_block(4, 3, 0x40)
    faults = encode_texts(schema.columns["a"], ["abcd", "€", None, "ok"], out, schema.form)
    assert "4 bytes long" in faults[0]
    assert "not in cp037" in faults[1]
    assert faults[2] == "is missing"
    assert out.record(3).hex() == "969240"
    right = one_field("PIC X(3) JUST RIGHT")
    out = blank_block(1, 3, 0x40)
    assert not encode_texts(right.columns["a"], ["a"], out, right.form)
    assert out.record(0).hex() == "404081"


@given(st.floats(-1e7, 1e7) | st.integers(-(10**8), 10**8).map(lambda whole: whole / 1000), st.integers(0, 6))
@settings(max_examples=300)
def test_rounding_is_half_even_of_the_exact_value(value: float, scale: int) -> None:
    field = one_field(f"PIC S9(9)V9({scale or 1})" if scale else "PIC S9(9)").columns["a"]
    whole, faults = whole_of(field, np.array([value]))
    wanted = Decimal(value).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN)
    assert not faults
    assert int(whole[0]) == int(wanted.scaleb(scale))


def test_halves_are_told_from_what_only_rounds_to_them() -> None:
    field = one_field("PIC S9(3)V99").columns["a"]
    values = [0.125, 0.375, -0.125, 1.115, 2.675, 1.005, -0.0]
    assert whole_of(field, np.array(values))[0].tolist() == [12, 38, -12, 111, 267, 100, 0]
    assert whole_of_texts(field, ["0.125", "0.375", "1.115", "1.005", Decimal("-0.005")])[0].tolist() == [
        12, 38, 112, 100, 0,
    ]  # fmt: skip
    thousands = one_field("PIC 9(3)PPP").columns["a"]
    assert whole_of(thousands, np.array([1500.0, 2500.0, 2501.0]))[0].tolist() == [2, 2, 3]


@pytest.mark.parametrize(
    ("clauses", "value", "reason"),
    [
        ("PIC S9(3)V99", math.nan, "NaN"),
        ("PIC S9(3)V99", -math.inf, "infinite"),
        ("PIC S9(3)V99", 999.995, "1000.00 does not fit PIC S9(3)V99"),
        ("PIC S9(3)V99", 1e300, "does not fit"),
        ("PIC 9(3)", -1.0, "is negative"),
        ("PIC S9(4) COMP", 10000.0, "does not fit"),
        ("PIC S9(4) COMP-5", 32768.0, "does not fit"),
    ],
)
def test_numbers_that_do_not_fit(clauses: str, value: float, reason: str) -> None:
    whole, faults = whole_of(one_field(clauses).columns["a"], np.array([1.0, value]))
    assert list(faults) == [1]
    assert reason in faults[1]
    assert whole[1] == 0


def test_native_binary_is_as_large_as_its_bytes() -> None:
    whole, faults = whole_of(one_field("PIC S9(4) COMP-5").columns["a"], np.array([32767, -32768]))
    assert not faults
    assert whole.tolist() == [32767, -32768]


def test_records_of_variable_length_with_and_without_blocks() -> None:
    rows = [b"abc", b"", b"abcdef"]
    data = b"".join((len(row) + 4).to_bytes(2, "big") + b"\0\0" + row for row in rows)
    for recfm, stored in (("vb", data), ("vb-blocks", (len(data) + 4).to_bytes(2, "big") + b"\0\0" + data)):
        framing = Framing(recfm, 6)
        assert framing.whole(stored + b"\0\x0a") == (len(stored), 3)
        block = framing.block(stored)
        assert [block.record(at) for at in range(3)] == rows
        assert framing.framed(block) == stored


@pytest.mark.parametrize(
    ("recfm", "data", "what"),
    [
        ("vb", "0007010061", "spanned"),
        ("vb", "00030000", "descriptor word is 00030000"),
        ("vb", "80070000616263", "descriptor word"),
        ("vb", "00070000616263" + "c1c2c3c4", "record 2 .*is a part of a spanned"),
        ("vb-blocks", "000b0001" + "00070000616263", "block"),
        ("vb-blocks", "000c0000" + "0007000061626300", "end with its block"),
    ],
)
def test_descriptors_that_cannot_be(recfm: str, data: str, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        Framing(recfm, 10).whole(bytes.fromhex(data))


def test_blocks_are_no_longer_than_a_block_may_be() -> None:
    block = blank_block(5000, 30, 0x40)
    framing = Framing("vb-blocks", 30)
    data = framing.framed(block)
    assert framing.whole(data) == (len(data), 5000)
    assert int.from_bytes(data[:2], "big") <= 32760


def test_values_in_the_byte_order_of_another_machine_give_the_same_records() -> None:
    """Arrays as a big-endian machine has them; the bytes of records say their order themselves."""
    for clauses in ("PIC S9(7)V99 COMP-3", "PIC S9(7)V99", "PIC S9(9) COMP", "PIC S9(4) COMP-5"):
        schema = one_field(clauses)
        field, records = schema.columns["a"], []
        for order in "<>":
            values = np.array([-1234.0, 0.0, 7.0, 4321.0], f"{order}f8")
            out = blank_block(4, schema.length, 0x40)
            encode_whole(field, whole_of(field, values)[0].astype(f"{order}i8"), out, schema.form)
            records.append(out.data.tobytes())
            assert Table(schema, out).floats("a").tolist() == values.tolist()
        assert records[0] == records[1]
