"""Where an OCI registry is: `oci://HOST[:PORT][/PREFIX]`, and whether it is spoken to over TLS."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from mlship.errors import UsageError

_URL = re.compile(
    r"(?P<scheme>oci|oci\+http|oci\+https)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?"
    r"(?P<prefix>(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*)/?"
)
_MAX_PREFIX = 180  # with a bundle's name it stays below the 255 characters that registries take
DOCKER_HUB = "docker.io"
_HUB_NAMES = (DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
_HUB_API = "registry-1.docker.io"


@dataclass(frozen=True)
class Address:
    """`host` has the port, as credentials are kept under it; `prefix` goes before every bundle's name."""

    scheme: str  # of the URL
    host: str
    prefix: str = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def plain(self) -> bool:
        """Whether it is spoken to without TLS: on this machine, or where the URL asks for it."""
        return self.scheme == "oci+http" or (self.scheme == "oci" and is_loopback(self.host))

    @property
    def root(self) -> str:
        """What the paths of the interface are added to."""
        host = _HUB_API if self.host == DOCKER_HUB else self.host
        return f"{'http' if self.plain else 'https'}://{host}"

    def repository(self, name: str) -> str:
        """Where the registry keeps the bundle `name`."""
        return f"{self.prefix}/{name}" if self.prefix else name


def parse_address(url: str) -> Address:
    """Read the URL of a registry; UsageError, without showing what may be a password, if it is none."""
    found = _URL.fullmatch(url)
    if not found or int((found["port"] or ":0")[1:]) > 65535 or len(found["prefix"]) > _MAX_PREFIX:
        if "@" in url:
            raise UsageError(
                "the URL of a registry holds no credentials",
                fix="Leave out what stands before @, and give it to: mlship login HOST --username USER",
            )
        raise UsageError(
            f"{url[:200]!r} is not the URL of an OCI registry",
            fix="Write oci://HOST[:PORT][/PREFIX] with a prefix in small letters",
        )
    host = (found["host"] + (found["port"] or "")).lower()
    return Address(found["scheme"], DOCKER_HUB if host in _HUB_NAMES else host, found["prefix"].strip("/"))


def parse_host(text: str) -> Address:
    """As `parse_address`, for what stands without a scheme, too: `registry.example.com:5000`."""
    address = parse_address(text if "://" in text else f"oci://{text}")
    return Address(address.scheme, address.host)


def is_loopback(host: str) -> bool:
    """Whether `host` (with or without a port) is this machine by its name alone, no server asked."""
    name = re.sub(r":[0-9]+$", "", host).strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
