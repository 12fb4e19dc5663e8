"""Finds what looks like a secret in what goes into a bundle, which whoever gets it can read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from mlship.config import Project
from mlship.errors import BuildError

# Forms that hardly anything else has. A found text is never shown: logs are read by many.
_FORMS = {
    "a private key": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d",
    "a key of AWS": rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    rb"|(?i:aws_?secret_?access_?key)[\"']?\s*[=:]\s*[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    "a key of Azure": rb"(?i:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}"
    rb"|[?&]sig=[A-Za-z0-9%+/]{40,}",
    "a key of Google": rb"\bAIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])|\bya29\.[A-Za-z0-9_-]{30,}",
    "a token of GitHub": rb"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{50,}",
    "a token of GitLab": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    "a token of Slack": rb"\bxox[abeoprs]-[A-Za-z0-9-]{20,}",
    "a token of Hugging Face": rb"\bhf_[A-Za-z0-9]{34,}",
    "a token of a package index": rb"\bpypi-AgE[A-Za-z0-9_-]{50,}|\bnpm_[A-Za-z0-9]{36}\b",
    "a key of a payment or model service": rb"\b[sr]k_live_[A-Za-z0-9]{24,}"
    rb"|\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{40,}",
    "a signed token (JWT)": rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    "a password in a URL": rb"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'{}$<>]*:[^\s/@\"'{}$<>]{3,}@",
}
_FIX = "Read it from the environment where the model runs"


def refuse_secrets(project: Project, files: Mapping[str, bytes]) -> None:
    """Look for secrets in the reduction's `files` (by their paths) and in the words of mlship.toml.

    Raises BuildError (ConfigError for the words), with file and line, unless [bundle] not_secret names it.
    """
    for words, key in _words(project):
        for form, _ in find_secrets(words.encode()):
            raise project.error(*key, what=f"looks like it has {form}", fix=_FIX)
    known = project.bundle.not_secret
    for file, data in sorted(files.items()):
        for form, line in find_secrets(data):
            place = f"{file}:{line}"
            if place not in known and file not in known:
                raise BuildError(
                    f"{place} looks like it has {form}",
                    cause="whoever gets the bundle can read it",
                    fix=f'{_FIX}; if it is none, say so: [bundle] not_secret = ["{place}"]',
                )


def find_secrets(data: bytes) -> Iterator[tuple[str, int]]:
    """What looks like a secret, and the line on which it begins, counted from 1."""
    for form, pattern in _FORMS.items():
        for match in re.finditer(pattern, data):
            yield form, data.count(b"\n", 0, match.start()) + 1


def _words(project: Project) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What of mlship.toml goes into the bundle or into mlship.lock."""
    for name, value in project.bundle.labels.items():
        yield f"{name}={value}", ("bundle", "labels", name)
    for requirement in project.runtime.requirements:
        yield requirement, ("runtime", "requirements")
