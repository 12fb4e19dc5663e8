"""What vendors' registries refuse of a bundle's manifest, as data; who is not in the table finds out.

Sources, as read in November 2026: gitlab (ocx-sh/ocx#480, fluxcd/flux2#3724: artifactType and config types of
an own list only), quay (oras-project/oras#738: config types of a list that its administrator extends), ecr
(aws/containers-roadmap#2783, docker/compose: 405 for some manifests of OCI 1.1), artifactory before 7
(sigstore/cosign#1994, #1627: Docker's types only); plain (opencontainers/image-spec#1025, oras's list).
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mlship.config.settings import oci_profiles
from mlship.errors import UsageError
from mlship.registry.oci.carrier import DOCKER, OCI, Form
from mlship.registry.oci.trouble import Refused

_FORM_STATUS = (400, 405, 415, 422)
# What a refusal with such a status can mean beside "not in this form".
_OTHER_CODES = frozenset(
    (
        "MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "NAME_UNKNOWN", "NAME_INVALID", "TAG_INVALID", "DENIED",
        "UNAUTHORIZED", "DIGEST_INVALID", "SIZE_INVALID", "TOOMANYREQUESTS",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """`carriers` are the images that are tried, in this order, when a registry refuses a bundle's manifest as
    it is. Where there are none, a tag is looked up without reading what it names."""

    name: str
    hosts: tuple[str, ...]
    carriers: tuple[Form, ...] = ()


PLAIN = Profile("plain", ("docker.io", "ghcr.io", "*.pkg.dev", "gcr.io", "*.gcr.io", "*.azurecr.io"))
ANY = Profile("any", (), (OCI, DOCKER))
PROFILES = (
    PLAIN,
    ANY,
    Profile("gitlab", ("registry.gitlab.com", "*gitlab*"), (OCI,)),
    Profile("quay", ("quay.io", "*quay*"), (OCI,)),
    Profile("ecr", ("*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn", "public.ecr.aws"), (OCI,)),
    Profile("artifactory", ("*.jfrog.io", "*artifactory*"), (OCI, DOCKER)),
)


def profile_of(host: str) -> Profile:
    """What MLSHIP_OCI_PROFILES (HOST=PROFILE, between commas) says of `host`, else the first whose pattern
    fits. Raises UsageError for a profile that there is not."""
    said = oci_profiles().get(host)
    if said is not None:
        return _named(said)
    bare = host.partition(":")[0]
    fitting = (x for x in PROFILES if any(fnmatchcase(bare, pattern) for pattern in x.hosts))
    return next(fitting, ANY)


def refuses_form(refusal: Refused) -> bool:
    """Whether what was refused may be taken in another form."""
    return refusal.status in _FORM_STATUS and not refusal.codes & _OTHER_CODES


def _named(name: str) -> Profile:
    for profile in PROFILES:
        if profile.name == name:
            return profile
    known = ", ".join(profile.name for profile in PROFILES)
    raise UsageError(f"MLSHIP_OCI_PROFILES names the profile {name!r}", fix=f"There are {known}")
