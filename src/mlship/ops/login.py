"""`mlship login` and `mlship logout`: credentials for an OCI registry, kept where Docker and others look."""

from __future__ import annotations

from mlship.errors import UsageError
from mlship.ops.context import Context
from mlship.result import Result


class LoggedIn(Result, frozen=True, kw_only=True):
    """Who one is to `host` from now on, and what keeps the password."""

    host: str
    username: str
    kept_in: str


class LoggedOut(Result, frozen=True, kw_only=True):
    """`forgotten` is False if no credentials were kept for `host`."""

    host: str
    forgotten: bool


def login(ctx: Context, host: str, username: str, password: str) -> LoggedIn:
    """Ask the registry whether it takes the credentials, then keep them. Raises RegistryError if it does not,
    ConfigError if they cannot be kept."""
    from mlship.registry.oci import docker_config
    from mlship.registry.oci.address import parse_host
    from mlship.registry.oci.client import Client
    from mlship.registry.oci.docker_config import Credentials

    address = parse_host(host)
    if not username or ":" in username or not username.isprintable():
        raise UsageError(f"{username!r} cannot be a user's name", fix="Give it with --username")
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
    from mlship.registry.oci.address import parse_host

    address = parse_host(host)
    return LoggedOut(host=address.host, forgotten=docker_config.erase(address.host))
