"""paramiko as a wire: no program of the machine is needed, and one connection carries every command."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from mlship.errors import ConfigError, TargetError
from mlship.host.ssh.address import PORT, Access
from mlship.host.ssh.known_hosts import fingerprint, name_of
from mlship.host.ssh.trouble import by_authority_only, changed_key, lost, not_known, not_let_in, unreachable

if TYPE_CHECKING:
    import paramiko

_ALIVE = 15  # seconds between two signs of life
_WINDOW = 16 << 20  # bytes that may be on the way; the default stalls on long links
_TRIES = 4  # an sshd that is full (MaxStartups) hangs up on some of those who come
_PAUSE = 0.5


class _Process:
    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    def write(self, data: bytes) -> None:
        with _as_broken():
            self._channel.sendall(data)

    def read(self, most: int) -> bytes:
        return self._channel.recv(most)

    def read_error(self, most: int) -> bytes:
        return self._channel.recv_stderr(most)

    def end_input(self) -> None:
        with _as_broken():
            self._channel.shutdown_write()

    def wait(self) -> int | None:
        code = self._channel.recv_exit_status()
        self.close()
        return code if code >= 0 else None

    def close(self) -> None:
        with contextlib.suppress(OSError), _as_broken():
            self._channel.close()


@contextlib.contextmanager
def _as_broken() -> Iterator[None]:
    """What paramiko says of a connection that broke while something was sent, as a pipe says it."""
    import paramiko

    try:
        yield
    except (EOFError, paramiko.SSHException) as error:
        raise BrokenPipeError(str(error) or "the connection broke") from error


class ParamikoWire:
    """See Wire."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._client: paramiko.SSHClient | None = None

    def start(self, command: str) -> _Process:
        transport = self._transport()
        import paramiko

        try:
            channel = transport.open_session(window_size=_WINDOW, timeout=self._access.connect_timeout)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise lost(self._access, str(error)) from error
        return _Process(channel)

    def shown(self, algorithms: Sequence[str]) -> str | None:
        _need_paramiko()
        import paramiko

        address, within = self._access.address, self._access.connect_timeout
        try:
            line = socket.create_connection((address.host, address.port or PORT), within)
        except OSError as error:
            unknown = isinstance(error, socket.gaierror)
            raise unreachable(self._access, _reason(error), unknown=unknown) from error
        transport = paramiko.Transport(line)
        transport.banner_timeout = within
        transport.get_security_options().key_types = list(algorithms)
        try:
            transport.start_client(timeout=within)
            key = transport.get_remote_server_key()
        except paramiko.ssh_exception.IncompatiblePeer:
            return None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise unreachable(self._access, str(error) or "it hung up before the first word") from error
        finally:
            transport.close()
        return _line(key)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _transport(self) -> paramiko.Transport:
        if self._client is not None:
            transport = self._client.get_transport()
            if transport is not None and transport.is_active():
                return transport
            self.close()
        self._client = self._connected()
        transport = self._client.get_transport()
        if transport is None:
            raise lost(self._access)
        transport.set_keepalive(_ALIVE)
        return transport

    def _connected(self) -> paramiko.SSHClient:
        """Several tries where it is the machine that has no place for us just now."""
        for left in reversed(range(_TRIES)):
            try:
                return self._connect()
            except _Full as full:
                if not left:
                    raise unreachable(self._access, str(full)) from full
                time.sleep(_PAUSE * (_TRIES - left))
        raise AssertionError("the last try returns or raises")

    def _connect(self) -> paramiko.SSHClient:
        _need_paramiko()
        import paramiko

        access, client = self._access, paramiko.SSHClient()
        _pin(client, access)
        try:
            client.connect(
                access.address.host,
                port=access.address.port or PORT,
                username=access.address.user,
                key_filename=str(access.key) if access.key else None,
                allow_agent=True,  # where the key named has a passphrase, it is the agent that opens it
                look_for_keys=access.key is None,
                timeout=access.connect_timeout,
                banner_timeout=access.connect_timeout,
                auth_timeout=access.connect_timeout,
                channel_timeout=access.connect_timeout,
                transport_factory=_quick,
            )
        except TargetError:
            client.close()
            raise
        except paramiko.BadHostKeyException as error:
            client.close()
            raise changed_key(access, fingerprint(_line(error.key))) from error
        except paramiko.AuthenticationException as error:
            raise not_let_in(access) from error
        except (paramiko.SSHException, EOFError, ConnectionResetError) as error:
            transport = client.get_transport()
            active = transport is not None and transport.is_active()
            client.close()
            if active:  # the machine still listens: the key's file is what could not be used
                raise not_let_in(access) from error
            raise _Full(str(error) or "it hung up before the first word") from error
        except OSError as error:
            unknown = isinstance(error, socket.gaierror)
            raise unreachable(access, _reason(error), unknown=unknown) from error
        return client


def _line(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def _need_paramiko() -> None:
    if find_spec("paramiko") is None:
        raise TargetError(
            "paramiko is not installed",
            fix="Run pip install 'mlship-toolchain[ssh]', or install the OpenSSH client and let that do it",
        )


def _pin(client: paramiko.SSHClient, access: Access) -> None:
    """Only pinned keys are taken. Raises TargetError without any, ConfigError for a wrong one."""
    import paramiko

    if not access.host_keys:
        raise by_authority_only(access) if access.authorities else not_known(access)

    class Refused(paramiko.MissingHostKeyPolicy):
        """Of a kind of which none is pinned."""

        def missing_host_key(self, client: Any, hostname: str, key: paramiko.PKey) -> None:
            raise changed_key(access, fingerprint(_line(key)))

    client.set_missing_host_key_policy(Refused())
    for line in access.host_keys:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"{name_of(access.address)} {line}")
        if entry is None or entry.key is None:
            raise ConfigError(f"{line[:40]!r} is no host key", fix=f"Run mlship target trust {access.target}")
        client.get_host_keys().add(entry.hostnames[0], entry.key.get_name(), entry.key)


def _quick(line: Any, **given: Any) -> paramiko.Transport:
    """Ciphers that need no hash beside them go first: they take half the time."""
    import paramiko

    transport = paramiko.Transport(line, **given)
    options = transport.get_security_options()
    options.ciphers = sorted(options.ciphers, key=lambda name: "gcm" not in name)
    return transport


class _Full(Exception):
    """The machine hung up before anybody was asked for a key."""


def _reason(error: OSError) -> str:
    with contextlib.suppress(AttributeError, StopIteration):
        first = next(iter(error.errors.values()))  # type: ignore[attr-defined]  # NoValidConnectionsError
        return str(first.strerror or first)
    return error.strerror or str(error) or "no answer in time"
