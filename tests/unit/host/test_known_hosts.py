"""Which host keys count for an address: the forms of a line, and whose file goes before whose."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

from mlship.errors import ConfigError
from mlship.host.ssh import Address
from mlship.host.ssh.known_hosts import Known, fingerprint, keys_in, kind_of, known, known_keys, pin

KEY, OTHER = "ssh-ed25519 AAAAC3one", "ssh-rsa AAAAB3two"
AT = Address.read("ann@Model1.example.org:2222")


def found(tmp_path: Path, *lines: str, at: Address = AT) -> tuple[str, ...]:
    (tmp_path / "known").write_text("\n".join(lines))
    return keys_in(tmp_path / "known", at)


def hashed(name: str) -> str:
    salt = b"0123456789abcdefghij"
    made = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return "|1|" + "|".join(base64.b64encode(part).decode() for part in (salt, made))


@pytest.mark.parametrize(
    ("hosts", "known"),
    [
        ("[model1.example.org]:2222", True),
        ("[MODEL1.example.org]:2222", True),
        ("other,[model1.example.org]:2222", True),
        ("[model?.example.*]:2222", True),
        ("[*.example.org]:2222", True),
        ("*,![model1.example.org]:2222", False),
        (hashed("[model1.example.org]:2222"), True),
        (hashed("model1.example.org"), False),
        ("|1|no base64|at all", False),
        ("model1.example.org", False),
        ("[model1.example.org]:222", False),
        ("[model1xexample.org]:2222", False),
    ],
)
def test_a_line_names_its_hosts(tmp_path: Path, hosts: str, known: bool) -> None:
    assert found(tmp_path, f"{hosts} {KEY} ann@home") == ((KEY,) if known else ())


def test_the_usual_port_is_not_written(tmp_path: Path) -> None:
    line = f"model1 {KEY}"
    assert found(tmp_path, line, at=Address("model1")) == (KEY,)
    assert found(tmp_path, line, at=Address("model1", port=22)) == (KEY,)


def test_several_keys_and_what_is_none(tmp_path: Path) -> None:
    name = "[model1.example.org]:2222"
    lines = [
        "# " + name,
        "",
        name,
        f"{name} {KEY}",
        f"{name} {OTHER}",
        f"{name} {KEY}",
        f"{name} nonsense here",
    ]
    assert found(tmp_path, *lines) == (KEY, OTHER)
    assert found(tmp_path, f"@cert-authority {name} {KEY}") == ()


def test_an_authority_of_the_project_goes_before_what_the_user_knows(tmp_path: Path) -> None:
    ours, users = tmp_path / "known_hosts", tmp_path / "users"
    users.write_text(f"[model1.example.org]:2222 {OTHER}\n@revoked * {OTHER}\n")
    assert known(AT, ours, [users]) == Known((), (), (OTHER,))
    ours.write_text(f"@cert-authority [*.example.org]:2222 {KEY}\n@cert-authority else {OTHER}\n")
    assert known(AT, ours, [users]) == Known((), (KEY,))
    ours.write_text(f"@cert-authority * {KEY}\n@revoked * {KEY}\n")
    assert known(AT, ours, []).authorities == ()


def test_a_revoked_key_counts_nowhere(tmp_path: Path) -> None:
    name = "[model1.example.org]:2222"
    assert found(tmp_path, f"{name} {KEY}", f"{name} {OTHER}", f"@revoked * {KEY}") == (OTHER,)


def test_what_the_project_pins_goes_before_what_the_user_knows(tmp_path: Path) -> None:
    ours, users = tmp_path / "known_hosts", tmp_path / "users"
    users.write_text(f"[model1.example.org]:2222 {OTHER}")
    assert known_keys(AT, ours, [users]) == (OTHER,)
    ours.write_text(f"[model1.example.org]:2222 {KEY}")
    assert known_keys(AT, ours, [users]) == (KEY,)
    assert known_keys(Address("else"), ours, [users]) == ()


def test_a_file_that_cannot_be_read_is_told_if_it_is_the_projects(tmp_path: Path) -> None:
    broken = tmp_path / "known_hosts"
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        known_keys(AT, broken, [])
    assert known_keys(AT, tmp_path / "none", [broken]) == ()


def test_pinning_replaces_what_was_there_and_leaves_the_others(tmp_path: Path) -> None:
    file, name = tmp_path / "known_hosts", "[model1.example.org]:2222"
    lines = ["# ours", f"{name} {OTHER}", f"else {KEY}", f"twin,{name} {OTHER}", f"{hashed(name)} {OTHER}"]
    file.write_text("\n".join(lines))
    pin(file, AT, [KEY])
    assert file.read_text().splitlines() == ["# ours", f"else {KEY}", f"twin {OTHER}", f"{name} {KEY}"]
    assert file.stat().st_mode & 0o777 & ~0o644 == 0
    assert keys_in(file, AT) == (KEY,)


def test_a_pattern_that_cannot_be_replaced_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"[*.example.org]:2222 {OTHER}\n")
    with pytest.raises(ConfigError, match="line 1"):
        pin(file, AT, [KEY])
    assert keys_in(file, AT) == (OTHER,)


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
    assert fingerprint(key) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    assert [kind_of(key), kind_of(OTHER), kind_of("ecdsa-sha2-nistp256 A")] == ["ED25519", "RSA", "ECDSA"]
    with pytest.raises(ConfigError, match="is no host key"):
        fingerprint("ssh-ed25519 A")
