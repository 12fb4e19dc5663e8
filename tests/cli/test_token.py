"""mlship token: made once, kept as a hash, taken away."""

from __future__ import annotations

import stat

import pytest

from mlship_runtime.trust.tokens import digest_of, name_of, read_tokens


def test_from_new_to_revoked(run, tmp_path):
    file = tmp_path / "churn.tokens"
    made = run("token", "new", str(file), "first", "--json").envelope["result"]
    again = run("token", "new", str(file), "second", "--json").envelope["result"]
    kept = read_tokens(file)
    assert name_of(made["token"].encode(), kept) == "first"
    assert name_of(again["token"].encode(), kept) == "second"
    assert made["token"] not in file.read_text()
    assert digest_of(made["token"].encode()) in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "second" in run("token", "list", str(file)).out
    assert run("token", "revoke", str(file), "first").code == 0
    assert name_of(made["token"].encode(), read_tokens(file)) == ""
    assert name_of(again["token"].encode(), read_tokens(file)) == "second"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["new", "FILE", "one"], "has a token one already"),
        (["new", "FILE", "no name"], "is no name for a token"),
        (["new", "FILE"], "needs a NAME"),
        (["new", "missing/FILE", "x"], "cannot be used"),
        (["revoke", "FILE", "other"], "has no token 'other'. It has one"),
        (["list", "elsewhere"], "there is no file elsewhere"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(run, tmp_path, words, says):
    file = tmp_path / "FILE"
    run("token", "new", "FILE", "one")
    before = file.read_bytes()
    ended = run("token", *words)
    assert (ended.code, says in ended.err) == (2, True), ended.err
    assert file.read_bytes() == before


def test_a_file_that_is_something_else_is_not_touched(run, tmp_path):
    file = tmp_path / "FILE"
    file.write_text("notes of mine")
    assert run("token", "new", "FILE", "one").code == 2
    assert file.read_text() == "notes of mine"
