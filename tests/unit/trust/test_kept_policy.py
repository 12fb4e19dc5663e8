"""A policy as a place keeps it: who signed it, and that nobody puts an older one back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlship.errors import ConfigError, PolicyError
from mlship.trust import seen_policies
from mlship.trust.kept_policy import read_kept, write_kept
from mlship.trust.policy import read_policy
from mlship.trust.private import PrivateKey, generate_key, load_key
from mlship.trust.provenance import write_statement
from mlship.trust.roots import Roots

TEXT = 'schema = 1\nname = "eu"\nversion = 2\ndomain = "eu"\n'


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PrivateKey]:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("security", "ci"):
        generate_key(folder / f"{name}.key")
    return {name: load_key(folder / f"{name}.key") for name in ("security", "ci")}


def roots(keys: dict[str, PrivateKey], *names: str, revoked: tuple[str, ...] = ()) -> Roots:
    return Roots({name: keys[name].public for name in names}, frozenset(keys[x].public.id for x in revoked))


def test_what_was_signed_is_read(keys: dict[str, PrivateKey]) -> None:
    held = read_kept(write_kept(TEXT, keys["security"]), roots(keys, "security", "ci"), "the registry")
    assert (held.text, held.policy.version, held.signer) == (TEXT, 2, keys["security"].public.id)


def test_where_nobody_is_trusted_it_is_obeyed_as_it_is(keys: dict[str, PrivateKey]) -> None:
    for key in (None, keys["ci"]):
        held = read_kept(write_kept(TEXT, key), Roots(), "the registry")
        assert (held.policy.version, held.signer) == (2, "")


def test_what_does_not_hold_is_refused_and_never_passed_over(keys: dict[str, PrivateKey]) -> None:
    signed = json.loads(write_kept(TEXT, keys["security"]))
    trusted = roots(keys, "security")
    changed = {**signed, "policy": TEXT.replace("version = 2", "version = 3")}
    for data, said in (
        (write_kept(TEXT, None), "nobody signed it"),
        (write_kept(TEXT, keys["ci"]), "signed with another key"),
        (json.dumps(changed).encode(), "the text was changed after it was signed"),
        (json.dumps({**signed, "signature": "{}"}).encode(), "does not hold"),
        (json.dumps({**signed, "signature": 5}).encode(), "cannot be read"),
        (json.dumps({**signed, "schemaVersion": 2}).encode(), "made by a newer mlship"),
        (b"{", "cannot be read"),
        (write_kept("version = 1", keys["security"]), "has no schema"),
    ):
        with pytest.raises(PolicyError, match=said):
            read_kept(data, trusted, "the registry")


def test_a_revoked_key_signs_no_policy(keys: dict[str, PrivateKey]) -> None:
    with pytest.raises(PolicyError, match="another key"):
        read_kept(
            write_kept(TEXT, keys["ci"]), roots(keys, "ci", "security", revoked=("ci",)), "the registry"
        )


def test_no_other_signature_stands_for_one_of_a_policy(keys: dict[str, PrivateKey]) -> None:
    """Whoever gets the key to sign a bundle's provenance has no policy by that."""
    digest = "sha256:" + "0" * 64
    other = keys["security"].sign_statement(write_statement(digest, {}))
    data = json.dumps({"schemaVersion": 1, "policy": TEXT, "signature": other.decode()}).encode()
    with pytest.raises(PolicyError, match="predicateType"):
        read_kept(data, roots(keys, "security"), "the registry")


def test_an_older_one_or_none_is_refused_afterwards(own_home: Path) -> None:
    place, where = "dir:///srv/models", "the registry team"
    two = read_policy(TEXT)
    seen_policies.check_not_older(place, where, None, 0)
    assert (seen_policies.seen(place), list(own_home.glob("**/*.json"))) == (0, [])
    seen_policies.remember(place, two)
    for older, said in ((TEXT.replace("version = 2", "version = 1"), "has version 1"), ("", "has no policy")):
        with pytest.raises(PolicyError, match=f"{said}, and this machine has seen 2"):
            seen_policies.check_not_older(place, where, read_policy(older) if older else None, 0)
    seen_policies.check_not_older(place, where, two, 2)
    seen_policies.check_not_older("dir:///elsewhere", where, None, 0)
    seen_policies.remember(place, read_policy(TEXT.replace("version = 2", "version = 1")))
    assert seen_policies.seen(place) == 2


def test_mlship_toml_can_ask_for_a_version(own_home: Path) -> None:
    for policy in (None, read_policy(TEXT)):
        with pytest.raises(PolicyError, match=r"mlship\.toml asks for 3"):
            seen_policies.check_not_older("dir:///srv", "the registry", policy, 3)


def test_what_is_noted_and_damaged_is_not_passed_over(own_home: Path) -> None:
    seen_policies.remember("dir:///srv", read_policy(TEXT))
    (file,) = own_home.glob("**/*.json")
    for text in ("{", '{"schemaVersion": 1, "version": "2"}'):
        file.write_text(text)
        with pytest.raises(ConfigError, match="cannot be read"):
            seen_policies.seen("dir:///srv")
