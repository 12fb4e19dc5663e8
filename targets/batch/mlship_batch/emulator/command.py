"""`mlship batch emulator`: from its options to a running emulator, until it is told to end."""

from __future__ import annotations

import secrets
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mlship.errors import ConfigError, TargetError
from mlship.result import Result
from mlship.target.verbs import Asked
from mlship_batch.emulator.faults import Faults
from mlship_batch.emulator.system import Emulator, Options
from mlship_batch.names import is_name

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Listening(Result, frozen=True):
    """Where it answers, who may come in (`password` only if it was made here), and where the files of z/OS
    UNIX are."""

    url: str
    user: str
    password: str
    files: str


def emulate(asked: Asked) -> Result | None:
    """Until a signal. Raises ConfigError for options that cannot be, TargetError for a port that is taken."""
    options, password = _options(asked)
    with _told_to_end() as ended:
        try:
            emulator = Emulator(options)
        except OSError as error:
            raise TargetError(
                "the emulator cannot start", cause=str(error), fix="Choose another --port or --folder"
            ) from error
        emulator.start()
        try:
            shown = "" if asked.values["password_file"] else password
            user = next(iter(options.users))
            asked.say(Listening(url=emulator.url, user=user, password=shown, files=str(emulator.home)))
            ended.wait()
        finally:
            emulator.close()
    return None


def _options(asked: Asked) -> tuple[Options, str]:
    values, faults = asked.values, Faults()
    user = values["user"].upper()
    if not is_name(user):
        raise ConfigError(f"{user!r} is no user", fix="Up to eight of A-Z 0-9 @ # $, not a digit first")
    password = _read(values["password_file"]).strip() if values["password_file"] else secrets.token_hex(4)
    if not password:
        raise ConfigError(f"{values['password_file']} is empty", fix="Write the password into it")
    if values["faults"]:
        try:
            faults.read(values["faults"])
        except (OSError, ValueError) as wrong:
            raise ConfigError(f"{values['faults']} is no fault script", cause=str(wrong)) from wrong
    made = Options(values["folder"], {user: password}, port=values["port"], tls=_tls(asked), faults=faults)
    made.capacity = values["capacity"]
    return made, password


def _tls(asked: Asked) -> tuple[str, str] | None:
    certificate, key = asked.values["certificate"], asked.values["key"]
    if certificate is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or certificate)
    except (OSError, ssl.SSLError) as wrong:
        raise ConfigError(f"{certificate} is no certificate with its key", cause=str(wrong)) from wrong
    return str(certificate), str(key or certificate)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read", cause=str(error)) from error


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    ended = threading.Event()

    def tell(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = [signal.signal(number, tell) for number in _SIGNALS]
    try:
        yield ended
    finally:
        for number, previous in zip(_SIGNALS, before, strict=True):
            signal.signal(number, previous)
