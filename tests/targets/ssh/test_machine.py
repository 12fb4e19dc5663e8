"""A machine by SSH: what is run, put, got and reached there, over both clients."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from ssh_server import SshServer, make_key, public

from mlship.errors import ConfigError, TargetError
from mlship.host import drained
from mlship.host.local import LocalHost
from mlship.host.site import Site
from mlship.host.ssh import Address, SshHost, by_openssh
from mlship.host.ssh.address import Access
from mlship.host.ssh.known_hosts import fingerprint

pytestmark = pytest.mark.server
Reach = Callable[..., SshHost]
ODD = "a b'c\"d$HOME`id`;\\ *\n\te&|>ü"


def test_words_arrive_as_they_were_and_both_outputs_come_back(reach: Reach, sshd: SshServer) -> None:
    code = "import sys; sys.stdout.write(sys.argv[1]); sys.stderr.write('wrong'); sys.exit(3)"
    done = reach(sshd).run(["python3", "-c", code, ODD])
    assert (done.code, done.out.decode(), done.err) == (3, ODD, b"wrong")
    assert reach(sshd).run(["cat"], stdin=b"\0" * 300_000).out == b"\0" * 300_000


def test_much_output_on_both_sides_while_input_is_sent(reach: Reach, sshd: SshServer) -> None:
    """Each stream is larger than any window: who drains one of them alone stands still for ever."""
    code = "import sys; n = 6 << 20; sys.stderr.write('e' * n); sys.stdout.write('o' * n); sys.stdin.read()"
    done = reach(sshd).run(["python3", "-c", code], stdin=b"i" * (6 << 20), timeout=120)
    assert (done.code, len(done.out), len(done.err)) == (0, 6 << 20, 6 << 20)


def test_output_that_is_not_kept_whole_is_no_answer(
    reach: Reach, sshd: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drained, "MOST", 1 << 20)
    source = tmp_path / "source"
    source.write_bytes(b"x" * (1 << 20))
    host = reach(sshd)
    host.get(str(source), tmp_path / "back")
    assert (tmp_path / "back").stat().st_size == 1 << 20
    with source.open("ab") as file:
        file.write(b"x")
    with pytest.raises(TargetError, match="cat said more than"):
        host.get(str(source), tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_a_command_that_takes_too_long_is_given_up(reach: Reach, sshd: SshServer) -> None:
    host = reach(sshd)
    with pytest.raises(TargetError, match="did not answer within"):
        host.run(["sleep", "60"], timeout=0.5)
    assert host.run(["true"]).code == 0, "the connection still serves"


def test_files_go_and_come(reach: Reach, sshd: SshServer, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "new" / "folder" / "file"
    source.write_bytes(os.urandom(3 << 20))
    host = reach(sshd)
    host.put(source, str(target))
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    host.get(str(target), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    with pytest.raises(TargetError, match="cannot read"):
        host.get(str(tmp_path / "none"), tmp_path / "back")


def test_a_cut_transfer_goes_on_where_it_stood(reach: Reach, sshd: SshServer, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "file"
    source.write_bytes(b"x" * 1000 + b"y" * 1000)
    target.with_name("file.part").write_bytes(b"Z" * 1000)
    reach(sshd).put(source, str(target))
    assert target.read_bytes() == b"Z" * 1000 + b"y" * 1000, "only the rest was sent"


def test_what_cannot_be_written_is_said(reach: Reach, sshd: SshServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(TargetError, match="cannot write"):
        reach(sshd).put(source, str(tmp_path / "file" / "below"))


def test_connections_from_there(reach: Reach, sshd: SshServer, tmp_path: Path) -> None:
    host = reach(sshd)
    for family, where in ((socket.AF_UNIX, str(tmp_path / "s")), (socket.AF_INET, ("127.0.0.1", 0))):
        with socket.socket(family) as listener:
            listener.bind(where)
            listener.listen()
            threading.Thread(target=_echo, args=(listener,), daemon=True).start()
            at = f"unix:{where}" if family == socket.AF_UNIX else "tcp:{}:{}".format(*listener.getsockname())
            with host.connect(at, timeout=10) as stream:
                stream.sendall(b"hello " * 100_000)
                stream.shutdown(socket.SHUT_WR)
                with stream.makefile("rb") as back:
                    assert back.read() == b"hello " * 100_000
    with pytest.raises(TargetError, match="nothing answers"):
        host.connect(f"unix:{tmp_path}/none", timeout=5)


def _echo(listener: socket.socket) -> None:
    stream = listener.accept()[0]
    with stream, stream.makefile("rb") as reader:
        stream.sendall(reader.read())


def test_an_unknown_machine_and_a_changed_key_are_refused(
    reach: Reach, own_sshd: SshServer, tmp_path: Path
) -> None:
    with pytest.raises(TargetError, match="is not known"):
        reach(own_sshd, host_keys=()).run(["true"])
    for kind in ("ed25519", "rsa"):
        other = (public(make_key(tmp_path / f"key-{kind}", kind)),)
        with pytest.raises(TargetError, match="not the one that is known") as refused:
            reach(own_sshd, host_keys=other).run(["true"])
        assert fingerprint(other[0]) in refused.value.cause
        assert fingerprint(own_sshd.host_key) in refused.value.cause or kind == "rsa"


def test_a_certificate_of_the_machine_is_believed_if_its_authority_is(
    reach: Reach, own_sshd: SshServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Only for the name that it was made for, and not with a key that is revoked; paramiko reads none."""
    authority = make_key(tmp_path / "authority")
    words = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-h", "-n"]
    own_sshd.more = f"HostCertificate {own_sshd.folder}/host-cert.pub\n"

    def signed_for(name: str) -> None:
        own_sshd.fall()
        subprocess.run([*words, name, str(own_sshd.folder / "host.pub")], check=True)
        own_sshd.start()

    known = {"host_keys": (), "authorities": (public(authority),)}
    signed_for("127.0.0.1")
    if "paramiko" in request.node.name:
        with pytest.raises(TargetError, match="by a certificate authority alone") as refused:
            reach(own_sshd, **known).run(["true"])
        assert refused.value.fix == 'Set client = "openssh"'
        assert reach(own_sshd, authorities=(public(authority),)).run(["echo", "in"]).out == b"in\n"
        return
    assert reach(own_sshd, **known).run(["echo", "in"]).out == b"in\n"
    assert reach(own_sshd).run(["echo", "in"]).out == b"in\n", "a pinned key counts as before"
    with pytest.raises(TargetError):
        reach(own_sshd, **known, revoked=(own_sshd.host_key,)).run(["true"])
    with pytest.raises(TargetError):
        reach(own_sshd, **known, revoked=(public(authority),)).run(["true"])
    signed_for("another.example.org")
    with pytest.raises(TargetError):
        reach(own_sshd, **known).run(["true"])


def test_a_key_with_a_passphrase_needs_the_agent(
    reach: Reach, sshd: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    for kind, form in (("ed25519", ()), ("rsa", ("-m", "PEM"))):
        locked = make_key(tmp_path / kind, kind)
        lock(locked, *form)
        with pytest.raises(TargetError, match="has a passphrase") as refused:
            reach(sshd, key=locked).run(["true"])
        assert refused.value.fix == f"Load it: ssh-add {locked}"


def test_the_agent_opens_a_key_with_a_passphrase(
    reach: Reach, sshd: SshServer, tmp_path: Path, agent: Callable[[Path], None]
) -> None:
    locked = tmp_path / "user"
    for suffix in ("", ".pub"):
        shutil.copy(f"{sshd.key}{suffix}", f"{locked}{suffix}")
    agent(locked)
    lock(locked)
    assert reach(sshd, key=locked).run(["echo", "in"]).out == b"in\n"


def lock(key: Path, *form: str) -> None:
    words = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", *form, "-f", str(key)]
    subprocess.run(words, check=True, capture_output=True)


def test_nobody_is_let_in_with_another_key(reach: Reach, sshd: SshServer, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="lets nobody in"):
        reach(sshd, key=make_key(tmp_path / "other")).run(["true"])


def test_nobody_there(reach: Reach, sshd: SshServer, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", sshd.user, free.getsockname()[1])
    with pytest.raises(TargetError, match="cannot be reached"):
        reach(sshd, address=address, connect_timeout=2.0).run(["true"])


def test_a_broken_connection_is_told_and_opened_anew(reach: Reach, own_sshd: SshServer) -> None:
    host = reach(own_sshd)
    host.run(["true"])
    falling = threading.Timer(1.0, own_sshd.fall)
    falling.start()
    with pytest.raises(TargetError, match=r"connection to .* broke"):
        host.run(["sleep", "60"], timeout=60)
    falling.join()
    own_sshd.start()
    end = time.monotonic() + 20
    while True:
        try:
            assert host.run(["echo", "back"]).out == b"back\n"
        except TargetError:
            assert time.monotonic() < end
            time.sleep(0.2)
        else:
            return


def test_a_connection_that_breaks_while_something_is_sent(reach: Reach, own_sshd: SshServer) -> None:
    process = reach(own_sshd).start(["cat"])
    own_sshd.fall()
    with pytest.raises(OSError):
        process.write(b"x" * (100 << 20))
    with suppress(OSError):
        process.end_input()
    process.close()


def test_looking_around_leaves_nothing_and_tools_are_sent_once(
    reach: Reach, sshd: SshServer, tmp_path: Path
) -> None:
    site = Site(reach(sshd), str(tmp_path / "base"), "churn", sys.executable)
    assert site.call("observe")["service"] is None
    assert not (tmp_path / "base").exists()
    boot = Path(site.boot())
    assert boot.is_file()
    assert site.call("facts")["freeBytes"] > 0


@pytest.mark.parametrize(
    "text",
    ["", "-oProxyCommand=x", "a b", "host:0", "host:99999", "u@-h", "h;id", "[::1", "u@h:22:22", "h\n"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="no address"):
        Address.read(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("h", ("h", None, None)),
        ("u@h:2222", ("h", "u", 2222)),
        ("[::1]:22", ("::1", None, 22)),
        ("u@[fe80::1%eth0]:7", ("fe80::1%eth0", "u", 7)),
    ],
)
def test_parts_of_an_address(text: str, parts: tuple[str, str | None, int | None]) -> None:
    address = Address.read(text)
    assert (address.host, address.user, address.port) == parts
    assert str(address) == text


@pytest.mark.parametrize(
    "line", ["", "x", "ssh-ed25519 AAAA\n* ssh-ed25519 AAAA", "@cert-authority * ssh-rsa AAAA"]
)
def test_what_is_no_host_key(line: str) -> None:
    with pytest.raises(ConfigError, match="no host key"):
        Access(Address("h"), (line,))


def test_a_key_file_that_is_not_there(reach: Reach, sshd: SshServer, tmp_path: Path) -> None:
    with pytest.raises(TargetError):
        reach(sshd, key=tmp_path / "none").run(["true"])


def test_a_command_is_spoken_with_while_it_runs(reach: Reach, sshd: SshServer) -> None:
    for host in (reach(sshd), LocalHost()):
        process = host.start(["cat"])
        for word in (b"one", b"two"):
            process.write(word)
            assert process.read(100) == word
        process.end_input()
        assert process.read(100) == b""
        assert process.read_error(100) == b""
        assert process.wait() == 0


def test_a_command_that_is_given_up_finds_its_input_ended(
    reach: Reach, sshd: SshServer, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    code = f"import sys; print('on', flush=True); sys.stdin.read(); open({str(ended)!r}, 'w')"
    process = reach(sshd).start([sys.executable, "-c", code])
    assert process.read(100) == b"on\n"
    process.close()
    end = time.monotonic() + 30
    while not ended.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


KILLED = """
import os, signal, sys
from pathlib import Path
from mlship.host.ssh import Address, SshHost, by_openssh
from mlship.host.ssh.address import Access
by_openssh.LINGER = 1
address, host_key, key = sys.argv[1:]
access = Access(Address.read(address), host_keys=(host_key,), key=Path(key))
wire = by_openssh.OpenSshWire(access)
SshHost(wire, access).run(["true"])
print(wire._folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_client_that_was_killed_leaves_no_connection(
    sshd: SshServer, running: Callable[[Path], dict[int, str]]
) -> None:
    words = [sys.executable, "-c", KILLED, str(sshd.address), sshd.host_key, str(sshd.key)]
    folder = Path(subprocess.run(words, capture_output=True, text=True).stdout.strip())
    assert folder.name.startswith("mlship-ssh-")
    end = time.monotonic() + 60
    while running(folder):
        assert time.monotonic() < end, running(folder)
        time.sleep(0.1)
    shutil.rmtree(folder)


def test_a_master_that_has_gone_is_opened_anew(sshd: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_openssh, "LINGER", 1)
    wire = by_openssh.OpenSshWire(sshd.access())
    host = SshHost(wire, sshd.access())
    host.run(["true"])
    first = wire._folder
    assert first is not None
    end = time.monotonic() + 60
    while (first / "s").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert host.run(["echo", "again"]).out == b"again\n"
    assert wire._folder is not None
    assert (wire._folder / "s").exists()
    assert not first.exists()
    host.close()
