"""What looks like a secret is found with its line, never shown, and let in only where the project says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlship.bundle.audit.secrets import find_in_chunks, find_secrets, refuse_secrets
from mlship.config import Project, parse_project
from mlship.errors import BuildError, ConfigError

PLAIN = '[project]\nname = "churn"\n[model]\nsource = "m"\n'
# Put together here, so that scanners of this repository do not take them for real.
SECRETS = {
    "a private key": [
        "-----BEGIN " + "PRIVATE KEY-----",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED " + "PRIVATE KEY-----",
        "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----",
    ],
    "a key of AWS": [
        "AKIA" + "ABCDEFGHIJKLMNOP",
        'aws_secret_access_key = "' + "a1B2" * 10 + '"',
        "AWS_SECRET_ACCESS_KEY=" + "a/B+" * 10,
    ],
    "a key of Azure": [
        "AccountName=x;AccountKey=" + "Ab1+" * 21 + "Ab==;",
        "https://x.blob.core.windows.net/c?sv=1&sig=" + "aB3%2F" * 10,
    ],
    "a key of Google": ["AIza" + "aB3_-" * 7],
    "a token of GitHub": ["ghp_" + "aB3" * 12, "github_pat_" + "aB3_" * 20],
    "a token of GitLab": ["glpat-" + "aB3-" * 5],
    "a token of Slack": ["xoxb-" + "123456789012-" * 2 + "abc"],
    "a token of Hugging Face": ["hf_" + "aB" * 17],
    "a token of a package index": ["pypi-AgE" + "aB3_" * 20, "npm_" + "aB3" * 12],
    "a key of a payment or model service": ["sk_live_" + "aB3" * 8, "sk-ant-" + "aB3-" * 12],
    "a signed token (JWT)": ["eyJ" + "hbGciOiJIUz." + "eyJ" + "zdWIiOiIxMj." + "SflKxwRJSMeK"],
    "a password in a URL": ["postgres://" + "me:hunter2@db/churn", "https://" + ":token@host/simple"],
}


EACH = [(form, text) for form, texts in SECRETS.items() for text in texts]


@pytest.mark.parametrize(("form", "text"), EACH)
def test_secrets_are_found_with_their_line(form: str, text: str) -> None:
    for before, after in (("", ""), ("x = '", "'\n"), ('{"key":"', '"}')):
        assert list(find_secrets(f"one\ntwo\n{before}{text}{after}".encode())) == [(form, 3)]
    assert next(find_secrets(b"\0\xff\n" + text.encode() + b"\n\0\xff")) == (form, 2)


def test_a_word_that_a_library_looks_for_is_no_key() -> None:
    marker = ("-----BEGIN " + "PRIVATE KEY-----").encode()
    assert list(find_secrets(b"wb\0" + marker + b"\0%s")) == []
    assert list(find_secrets(b"wb\0" + marker + b"\nMIIE")) == [("a private key", 1)]


@pytest.mark.parametrize(("form", "text"), EACH)
def test_a_secret_across_the_end_of_a_block(form: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever blocks end, and however the content comes."""
    monkeypatch.setattr("mlship.bundle.audit.secrets.BLOCK", 6000)
    for before in (0, 1300, 1850, 1900, 1904, 1910, 5990):
        data = b"a\n" * before + b'"' + text.encode() + b'"' + b"\nb" * 4000
        expected = [(form, before + 1)]
        assert list(find_secrets(data)) == expected
        for size in (97, 1000, 7000, len(data)):
            chunks = [data[at : at + size] for at in range(0, len(data), size)]
            assert list(find_in_chunks(chunks)) == expected, (before, size)


def test_a_word_that_only_begins_with_a_block_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlship.bundle.audit.secrets.BLOCK", 6000)
    token = b"ghp_" + b"aB3" * 12
    for before in range(1890, 1920):
        data = b"." * before + b"x" + token + b" " * 5000
        assert list(find_in_chunks([data[:6000], data[6000:]])) == []


@pytest.mark.parametrize("text", ["eyJ-", "sk-", "ghp_-", "://a:", "-----BEGIN A ", "aws_secret_access_key "])
def test_a_hostile_file_takes_no_longer_than_another(text: str) -> None:
    begun = time.process_time()
    found = sum(1 for _ in find_in_chunks([text.encode() * (400_000 // len(text))]))
    assert found == 0 or text == "sk-"
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "AKIASHORT",
        "key = os.environ['AWS_SECRET_ACCESS_KEY']",
        "aws_secret_access_key = load()",
        "https://example.org:8080/a@b",
        "https://user@example.org/",
        'f"postgres://{user}:{password}@{host}/db"',
        "postgres://$USER:$PASSWORD@db",
        "hf_hub_download",
        "sk-learn-contrib",
        "sha256:" + "0123456789abcdef" * 4,
        "eyJhbGciOiJI",
        "def reduce(columns):\n    return {'X': columns['a']}\n",
    ],
)
def test_what_is_none_is_let_be(text: str) -> None:
    assert list(find_secrets(text.encode())) == []


def project(more: str = "") -> Project:
    return parse_project(PLAIN + more, root=Path("/project"))


TOKEN = "ghp_" + "aB3" * 12


def test_a_file_is_refused_with_its_line_and_without_the_secret() -> None:
    with pytest.raises(BuildError, match=r"tables/a.json:2 looks like it has a token of GitHub") as refused:
        refuse_secrets(project(), {"reduction.py": b"", "tables/a.json": f"\n{TOKEN}".encode()})
    assert TOKEN not in str(refused.value)
    assert 'not_secret = ["tables/a.json:2"]' in refused.value.fix
    assert refused.value.exit_code == 4


@pytest.mark.parametrize("place", ["tables/a.json:2", "tables/a.json"])
def test_a_place_that_is_named_is_let_in(place: str) -> None:
    said = project(f'[bundle]\nnot_secret = ["{place}"]\n')
    refuse_secrets(said, {"tables/a.json": f"\n{TOKEN}".encode()})
    with pytest.raises(BuildError, match=r"reduction.py:1 "):
        refuse_secrets(said, {"tables/a.json": f"\n{TOKEN}".encode(), "reduction.py": TOKEN.encode()})


def test_another_line_than_the_named_one_is_refused() -> None:
    with pytest.raises(BuildError, match=r"a\.json:3 "):
        refuse_secrets(project('[bundle]\nnot_secret = ["a.json:2"]\n'), {"a.json": f"\n\n{TOKEN}".encode()})


@pytest.mark.parametrize(
    ("more", "place"),
    [
        (f'[bundle.labels]\nteam = "risk"\ntoken = "{TOKEN}"\n', "mlship.toml:7: bundle.labels.token"),
        (
            '[runtime]\nrequirements = ["numpy", "mine @ https://me:hunter2@host/mine.whl"]\n',
            "mlship.toml:6: runtime.requirements",
        ),
    ],
)
def test_words_of_the_project_are_refused_with_their_line(more: str, place: str) -> None:
    with pytest.raises(ConfigError, match=place) as refused:
        refuse_secrets(project(more), {})
    assert TOKEN not in str(refused.value)
    assert "hunter2" not in str(refused.value)
