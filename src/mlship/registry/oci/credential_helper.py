"""Runs `docker-credential-NAME`, which keeps passwords in a keychain; no shell, and no secret in arguments.

Source: docker/docker-credential-helpers, README.md ("Development": get, store, erase over stdin and stdout).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from mlship.errors import ConfigError

IDENTITY = "<token>"  # the user's name where the secret is a token to be exchanged
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIME_LIMIT = 60.0  # a keychain may ask its user
_MAX_ANSWER = 1 << 20
_NOT_FOUND = "credentials not found"


def get(helper: str, server: str) -> tuple[str, str] | None:
    """The user's name and the secret for `server`; None if the helper has none."""
    code, answer = _run(helper, "get", server.encode())
    if code != 0:
        if _NOT_FOUND in answer.decode(errors="replace").lower():
            return None
        raise _failed(helper, "get", f"it ended with {code}")
    try:
        found = json.loads(answer)
        username, secret = found["Username"], found["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _failed(helper, "get", "its answer is not what it should be") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _failed(helper, "get", "its answer is not what it should be")
    return username, secret


def store(helper: str, server: str, username: str, secret: str) -> None:
    """Keep it."""
    told = {"ServerURL": server, "Username": username, "Secret": secret}
    code, _ = _run(helper, "store", json.dumps(told).encode())
    if code != 0:
        raise _failed(helper, "store", f"it ended with {code}")


def erase(helper: str, server: str) -> None:
    """Forget it."""
    code, _ = _run(helper, "erase", server.encode())
    if code != 0:
        raise _failed(helper, "erase", f"it ended with {code}")


def _run(helper: str, verb: str, told: bytes) -> tuple[int, bytes]:
    if not _NAME.fullmatch(helper):
        raise ConfigError(
            f"{helper[:80]!r} cannot name a credential helper",
            fix="Mend credsStore or credHelpers in Docker's config.json",
        )
    program = shutil.which(f"docker-credential-{helper}")
    if program is None:
        raise ConfigError(
            f"docker-credential-{helper} is not there",
            cause="Docker's config.json names it as the keeper of credentials",
            fix="Install it, or take it out of credsStore or credHelpers",
        )
    try:
        done = subprocess.run(
            [program, verb],
            input=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIME_LIMIT,
        )
    except subprocess.TimeoutExpired:
        raise _failed(helper, verb, f"it took longer than {_TIME_LIMIT:g} s") from None
    except OSError as error:
        raise _failed(helper, verb, error.strerror or "it cannot be run") from None
    return done.returncode, done.stdout[:_MAX_ANSWER]


def _failed(helper: str, verb: str, cause: str) -> ConfigError:
    """Without what the helper wrote: that may be a secret."""
    return ConfigError(
        f"docker-credential-{helper} {verb} failed", cause=cause, fix="Run it by hand to see what it says"
    )
