"""key, sign, verify --key and what a target requires, as they are seen from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_bundle import make_bundle
from sample_project import HEAD, count_as_built, own_registry

from mlship.registry import open_registry
from mlship.trust.provenance import predicate, record_file
from mlship_runtime.bundle import canonical

TOML = (
    HEAD
    + """[trust]
keys = { release = "release.pub", ci = "ci.pub" }
[registries.team]
url = "dir://./team"
[targets.prod]
type = "local"
require = ["signature"]
signed_by = ["release"]
[targets.test]
type = "local"
require = ["signature"]
"""
)


@pytest.fixture
def built(run, tmp_path: Path) -> str:
    """A project with a build and two trusted keys, release and ci; the digest."""
    for name in ("release", "ci", "stranger"):
        assert run("key", "generate", f"{name}.key").code == 0
    (tmp_path / "mlship.toml").write_text(TOML)
    return made(tmp_path, "1.0")


def made(tmp_path: Path, version: str) -> str:
    return count_as_built(tmp_path, make_bundle(own_registry(tmp_path), version=version), version)


def test_key_generate_and_show(run, tmp_path: Path) -> None:
    made = run("key", "generate", "my.key", "--json").envelope["result"]
    assert (made["private"], made["public"], made["encrypted"]) == ("my.key", "my.pub", False)
    for file in ("my.key", "my.pub"):
        shown = run("key", "show", file, "--json").envelope["result"]
        assert (shown["id"], shown["name"], shown["revoked"]) == (made["id"], "", False)
        assert shown["pem"] == (tmp_path / "my.pub").read_text()
    again = run("key", "generate", "my.key")
    assert (again.code, again.err) == (
        2,
        "error: my.key is there already. A key is never overwritten: give another name\n",
    )


def test_a_passphrase_comes_from_a_file_or_the_environment(run, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "phrase").write_text("secret words\n")
    assert run("key", "generate", "my.key", "--passphrase-file", "phrase").code == 0
    assert run("key", "show", "my.key").code == 2
    monkeypatch.setenv("MLSHIP_KEY_PASSPHRASE", "secret words")
    shown = run("key", "show", "my.key")
    assert shown.code == 0
    assert "secret words" not in shown.out + shown.err


def test_sign_and_verify(built: str, run) -> None:
    unsigned = run("verify", "--key", "release.pub")
    assert (unsigned.code, unsigned.err[:33]) == (4, "error: churn:1.0 is not signed. S")
    plain = run("verify")
    assert (plain.code, plain.out.splitlines()[1]) == (0, "no signature was checked; --key does that")
    signed = run("sign", "--key", "release.key", "--json").envelope["result"]
    assert signed["digest"] == built
    for key in ("release.pub", "release"):
        ended = run("verify", "churn:1.0", "--key", key, "--json")
        assert ended.code == 0
        assert ended.envelope["result"]["signedBy"] == signed["key"]
    assert run("verify", "--key", "ci", "--key", "release").code == 0
    assert run("verify", "--key", "ci.pub").code == 4
    assert run("verify", "--key", "nothing.pub").code == 2
    assert run("sign", "churn:1.0", "--key", "release.key", "--json").envelope["result"] == signed


def test_inspect_shows_who_signed(built: str, run) -> None:
    assert run("inspect", "--json").envelope["result"]["signatures"] == []
    run("sign", "--key", "release.key")
    run("sign", "--key", "stranger.key")
    seen = run("inspect", "--json").envelope["result"]["signatures"]
    assert sorted((x["name"], x["holds"], bool(x["fault"])) for x in seen) == [
        ("", False, True),
        ("release", True, False),
    ]
    lines = [line for line in run("inspect").out.splitlines() if line.startswith("signature")]
    assert any("(release) holds" in line for line in lines)
    assert any("counts for nothing here" in line for line in lines)


def test_signatures_go_with_the_bundle(built: str, run, tmp_path: Path) -> None:
    run("push", "churn:1.0", "team")
    run("sign", "--key", "release.key")
    assert run("verify", "team/churn:1.0", "--key", "release").code == 4
    pushed = run("push", "churn:1.0", "team", "--json").envelope["result"]
    assert (pushed["sentAttachments"], pushed["sentBlobs"]) == (1, 0)
    assert run("verify", "team/churn:1.0", "--key", "release").code == 0


def test_signatures_go_through_an_air_gap(built: str, run, tmp_path: Path, monkeypatch) -> None:
    """A project that has the public key alone takes what was signed, and nothing else."""
    run("export", "churn:1.0", "unsigned.tar")
    run("sign", "--key", "release.key")
    exported = run("export", "churn:1.0", "signed.tar")
    assert exported.out.splitlines()[-1] == "attached  1 (signatures, provenance)"
    inside = tmp_path / "inside"
    inside.mkdir()
    for name in ("mlship.toml", "release.pub", "ci.pub"):
        (inside / name).write_bytes((tmp_path / name).read_bytes())
    monkeypatch.chdir(inside)
    assert run("import", "../unsigned.tar", "--json").envelope["result"]["sentAttachments"] == 0
    assert run("plan", "prod", "churn:1.0").code == 9
    imported = run("import", "../signed.tar")
    assert "\nattached       1 new (signatures, provenance)\n" in imported.out
    assert run("verify", "churn:1.0", "--key", "release").code == 0
    assert run("plan", "prod", "churn:1.0").code not in (4, 9)
    assert run("import", "../signed.tar", "--json").envelope["result"]["sentAttachments"] == 0
    assert run("push", "churn:1.0", "team", "--json").envelope["result"]["sentAttachments"] == 1


@pytest.mark.parametrize("words", ["plan prod churn:1.0", "deploy prod churn:1.0"])
class TestRequired:
    """Whatever is refused is refused before anything of the service exists."""

    @pytest.fixture(autouse=True)
    def _untouched(self, built: str, own_home: Path):
        yield
        assert not [path for path in own_home.rglob("*") if path.is_file()]

    def test_unsigned(self, run, words: str) -> None:
        ended = run(*words.split())
        assert (ended.code, ended.out) == (9, "")
        assert ended.err.startswith("error: churn:1.0 is not signed: ")

    def test_signed_by_a_stranger(self, run, words: str) -> None:
        run("sign", "--key", "stranger.key")
        ended = run(*words.split())
        assert (ended.code, ended.err[:46]) == (4, "error: the bundle is signed with another key: ")

    def test_signed_by_a_key_for_something_else(self, run, words: str) -> None:
        run("sign", "--key", "ci.key")
        assert run(*words.split()).code == 4

    def test_signed_with_a_revoked_key(self, run, words: str, tmp_path: Path) -> None:
        key = run("sign", "--key", "release.key", "--json").envelope["result"]["key"]
        text = (tmp_path / "mlship.toml").read_text()
        (tmp_path / "mlship.toml").write_text(text.replace("[trust]", f'[trust]\nrevoked = ["{key}"]'))
        ended = run(*words.split())
        assert (ended.code, "revoked" in ended.err) == (4, True)

    def test_with_the_signature_of_another_bundle(self, run, words: str, tmp_path: Path, built: str) -> None:
        other = made(tmp_path, "2.0")
        run("sign", "churn:2.0", "--key", "release.key")
        registry = open_registry(f"dir://{tmp_path}/.mlship/store")
        (kept,) = registry.attachments("churn", other)
        registry.attach("churn", built, kept.media_type, registry.read_attachment("churn", kept))
        ended = run(*words.split())
        assert (ended.code, ended.err[:48]) == (4, "error: the signature is of another bundle: 'mani")

    def test_with_a_broken_signature(self, run, words: str, tmp_path: Path, built: str) -> None:
        run("sign", "--key", "release.key")
        registry = open_registry(f"dir://{tmp_path}/.mlship/store")
        (kept,) = registry.attachments("churn", built)
        file = tmp_path / ".mlship" / "store" / "blobs" / "sha256" / kept.digest.partition(":")[2]
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.chmod(0o644)
        file.write_bytes(data)
        assert run(*words.split()).code == 4


def test_a_good_signature_opens_the_gate(built: str, run) -> None:
    """What stops it then is that this bundle runs nowhere, which pre-flight finds."""
    run("sign", "--key", "ci.key")
    ended = run("plan", "test", "churn:1.0")
    assert "signed" not in ended.err
    assert ended.code not in (4, 9)


def test_provenance_is_signed_and_shown(built: str, run, tmp_path: Path) -> None:
    said = predicate([{"name": "source", "digest": {"gitCommit": "ab" * 20}}], mlship="1.2.3", locked=True)
    file = record_file(tmp_path / ".mlship", built)
    file.parent.mkdir()
    file.write_bytes(canonical.encode(said))
    for key in ("release", "stranger"):
        assert run("sign", "--key", f"{key}.key", "--json").envelope["result"]["provenance"]
    seen = run("inspect", "--json").envelope["result"]
    assert seen["digest"] == built
    assert [(x["name"], x["commit"], x["mlship"]) for x in seen["origins"]] == [
        ("release", "ab" * 20, "1.2.3")
    ]
    assert len(seen["signatures"]) == 2
    assert "commit abababababab, by mlship 1.2.3; release says so" in run("inspect").out
    assert run("push", "churn:1.0", "team", "--json").envelope["result"]["sentAttachments"] == 4


def test_promote_moves_a_tag_to_what_passes(built: str, run, tmp_path: Path) -> None:
    assert run("sign", "--key", "release.key").code == 0
    words = ("promote", "churn:1.0", "prod", "--require", "signature,scan", "--signed-by", "release")
    done = run(*words, "--json").envelope["result"]
    assert (done["reference"], done["digest"], done["before"]) == ("churn:prod", built, None)
    assert [passed["gate"] for passed in done["gates"]] == ["signature", "scan"]
    other = made(tmp_path, "1.1")
    refused = run("promote", "churn:1.1", "prod", "--require", "signature")
    assert (refused.code, "is not signed" in refused.err) == (9, True)
    assert run("sign", "--key", "stranger.key").code == 0
    assert run("promote", "churn:1.1", "prod", "--require", "signature").code == 4
    moves = run("list", "churn:prod", "--history", "--json").envelope["result"]["moves"]
    assert [(move["digest"], move["source"]) for move in moves] == [(built, "churn:1.0")]
    said = run("promote", "churn:1.1", "prod")
    assert said.out.splitlines()[-1] == "nothing was required of it; --require does that"
    assert other in said.out


@pytest.mark.parametrize("words", [("--require", "beauty"), ("--signed-by", "nobody")])
def test_promote_names_what_it_does_not_know(built: str, run, words: tuple[str, str]) -> None:
    refused = run("promote", "churn:1.0", "prod", *words)
    assert (refused.code, f"'{words[1]}'" in refused.err) == (2, True)
