"""Whose certificates a registry may show: the system's (SSL_CERT_FILE), and those of one's own company."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

from mlship.config.settings import ca_file
from mlship.errors import ConfigError

_DOCKER_CERTS = ("~/.docker/certs.d", "/etc/docker/certs.d")


@cache
def tls(host: str) -> ssl.SSLContext:
    """The context for `host` (with its port). OpenSSL itself reads SSL_CERT_FILE and SSL_CERT_DIR; added are
    MLSHIP_CA_FILE and what Docker is told to trust: certs.d/HOST/*.crt. Raises ConfigError."""
    context = ssl.create_default_context()
    own = ca_file()
    for file in [*([Path(own)] if own else []), *_of_docker(host)]:
        try:
            context.load_verify_locations(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"the certificates in {file} cannot be used", cause=error.strerror or str(error)
            ) from error
    return context


def _of_docker(host: str) -> list[Path]:
    folders = [Path(folder).expanduser() / host for folder in _DOCKER_CERTS]
    return sorted(file for folder in folders if folder.is_dir() for file in folder.glob("*.crt"))
