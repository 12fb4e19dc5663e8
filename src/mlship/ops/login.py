"""`mlship login` and `mlship logout`: credentials for an OCI registry, kept where Docker and others look."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.result import Result

if TYPE_CHECKING:
    from mlship.registry.oci.address import Address

# Who is not known to Docker's files, and how one says there who one is.
_ELSEWHERE = {
    "mlflow": "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    "s3": "Run `aws sso login` or `aws configure`, or set AWS_PROFILE",
    "azblob": "Run `az login`, or set AZURE_STORAGE_CONNECTION_STRING, _SAS_TOKEN or _KEY",
    "dir": "A folder needs none but the rights of its files",
}


class LoggedIn(Result, frozen=True, kw_only=True):
    """Who one is to `host` from now on, and what keeps the password."""

    host: str
    username: str
    kept_in: str


class LoggedOut(Result, frozen=True, kw_only=True):
    """`forgotten` is False if no credentials were kept for `host`."""

    host: str
    forgotten: bool


def login(ctx: Context, host: str, username: str, ask: Callable[[], str]) -> LoggedIn:
    """Ask the registry whether it takes the credentials, then keep them; `ask` gives the password, if it
    comes so far. Raises RegistryError if they are not taken, ConfigError if they cannot be kept."""
    from mlship.registry.oci import docker_config
    from mlship.registry.oci.client import Client
    from mlship.registry.oci.docker_config import Credentials

    address = _address(host)
    if not username:
        raise UsageError(f"who are you at {address.host}?", fix="Add --username NAME")
    if ":" in username or not username.isprintable():
        raise UsageError(f"{username!r} cannot be a user's name", fix="Give it with --username")
    password = ask()
    if not password or "\n" in password or "\0" in password:
        raise UsageError(
            "there is no password", fix="It comes as one line: … | mlship login --password-stdin"
        )
    client = Client(address, given=Credentials(username, password))
    client.check_credentials()
    kept_in = docker_config.store(address.host, username, password)
    if not kept_in.startswith(docker_config.HELPER):
        ctx.warnings.append(f"{kept_in} keeps the password unencrypted; credsStore there names a keychain")
    return LoggedIn(host=address.host, username=username, kept_in=kept_in)


def logout(host: str) -> LoggedOut:
    """Forget the credentials for `host`. Raises ConfigError if what keeps them cannot be used."""
    from mlship.registry.oci import docker_config

    address = _address(host)
    return LoggedOut(host=address.host, forgotten=docker_config.erase(address.host))


def _address(host: str) -> Address:
    """The OCI registry that is meant. Raises UsageError, for one of another kind with what to do there."""
    from mlship.registry.oci.address import parse_host

    kind = host.partition("://")[0].partition("+")[0]
    if kind in _ELSEWHERE and "://" in host:
        raise UsageError(f"credentials for {kind}:// are not kept by mlship", fix=_ELSEWHERE[kind])
    return parse_host(host)
