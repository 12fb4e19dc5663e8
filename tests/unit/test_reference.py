"""References: one grammar, nothing that could be a path, an option, a second line or another name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlship.errors import UsageError
from mlship.reference import MAX_NAME, Reference, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4
GOOD = {
    "churn": Reference("churn"),
    "churn:1.0": Reference("churn", tag="1.0"),
    "c": Reference("c"),
    "a1-b_c.d:_x": Reference("a1-b_c.d", tag="_x"),
    "churn:" + "t" * 128: Reference("churn", tag="t" * 128),
    "n" * 63: Reference("n" * 63),
    f"churn@{DIGEST}": Reference("churn", digest=DIGEST),
}
BAD = [
    "", ":", "@", ":1.0", f"@{DIGEST}", "churn:", "churn@", "Churn", "CHURN:1.0", "-churn", "--force",
    ".churn", "churn.", "churn-", "a..b", "a--b", "a__b", "a.-b", "../churn", "a/b", "/churn", "a\\b",
    "churn/..", "~", "%2e%2e", "churn:1.0:2", "churn:-1", "churn:.1", "churn:../x", "churn:a/b",
    "churn:1 0", "churn:1.0\n", "\nchurn", "churn\n", "churn\0", "churn:1\0", "churn ", " churn", "chürn",
    "\uff43hurn", "churn:\uff11", "ch\u200burn", "\u202echurn", "n" * 64, "churn:" + "t" * 129,
    "churn@sha256:", f"churn@{DIGEST}0", f"churn@{DIGEST[:-1]}", f"churn@{DIGEST.upper()}",
    "churn@sha512:" + "0" * 128, f"churn@{DIGEST}\n", f"churn@{DIGEST}@{DIGEST}", f"churn:1.0@{DIGEST}",
    "churn@sha256:" + "\u0660" * 64, "churn@sha256:../../" + "0" * 58, "dir://churn", "churn?x", "churn#x",
    "churn;id", "$(id)",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_read(text: str) -> None:
    assert parse_reference(text) == GOOD[text]
    assert str(parse_reference(text)) == (text if ":" in text else f"{text}:latest")


@pytest.mark.parametrize("text", BAD)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


PLAIN = re.compile(r"[a-z0-9._-]+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})?")


def check(text: str) -> None:
    """Whatever is read is plain, names itself, and stays beneath the folder of its name."""
    try:
        found = parse_reference(text)
    except UsageError:
        return
    assert PLAIN.fullmatch(text)
    assert parse_reference(str(found)) in (found, Reference(found.name, tag="latest"))
    assert len(found.name) <= MAX_NAME
    for part in (found.name, found.tag_or_latest):
        assert part not in (".", "..")
        assert not part.startswith(("-", "."))


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    check(text)


@given(st.text(alphabet="ab1.-_:@/\\%~\n\0 A\u0301", max_size=12))
def test_any_text_that_is_nearly_one(text: str) -> None:
    check(text)


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_one_character_changed(text: str, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(text)))
    check(text[:at] + draw.draw(st.characters()) + text[at + draw.draw(st.integers(0, 1)) :])
