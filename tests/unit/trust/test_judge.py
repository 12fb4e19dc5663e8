"""Which signatures count for somebody who trusts some keys, and has revoked others."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_signing import Signer, sample

from mlship.bundle.open import OpenBundle
from mlship.config import parse_project
from mlship.errors import BundleError, ConfigError, PolicyError
from mlship.trust.judge import Judged, judge, signer
from mlship.trust.roots import Roots, load_roots

RELEASE, CI, STRANGER = Signer(21), Signer(22), Signer(23)
ROOTS = Roots({"release": RELEASE.key, "ci": CI.key})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OpenBundle:
    return sample(tmp_path_factory.mktemp("bundle"))


def find(bundle: OpenBundle, signatures: list[bytes], roots: Roots = ROOTS) -> Judged:
    return signer(signatures, roots, bundle.manifest_bytes, bundle.spec)


def test_one_that_holds_is_enough(bundle: OpenBundle) -> None:
    signatures = [b"noise", STRANGER.sign(bundle), CI.sign(bundle), RELEASE.sign(bundle)]
    assert find(bundle, signatures) == Judged(CI.key.id, "ci", None, signatures[2])
    judged = judge(signatures, ROOTS, bundle.manifest_bytes, bundle.spec)
    assert [(x.name, x.fault is None) for x in judged] == [
        ("", False),
        ("", False),
        ("ci", True),
        ("release", True),
    ]


def test_none_is_against_the_rules(bundle: OpenBundle) -> None:
    with pytest.raises(PolicyError, match=r"churn:1\.0 is not signed") as refused:
        find(bundle, [])
    assert refused.value.exit_code == 9


def test_bad_ones_make_the_bundle_unverified(bundle: OpenBundle, tmp_path: Path) -> None:
    of_another = RELEASE.sign(sample(tmp_path, version="2.0"))
    for signature in (b"noise", b"", STRANGER.sign(bundle), of_another):
        with pytest.raises(BundleError) as refused:
            find(bundle, [signature])
        assert refused.value.exit_code == 4


def test_a_key_for_another_purpose_does_not_count(bundle: OpenBundle) -> None:
    assert find(bundle, [CI.sign(bundle)], ROOTS.only(["ci"])).name == "ci"
    with pytest.raises(BundleError, match="another key"):
        find(bundle, [CI.sign(bundle)], ROOTS.only(["release"]))


def test_a_revoked_key_counts_no_more(bundle: OpenBundle) -> None:
    roots = Roots(ROOTS.keys, frozenset({CI.key.id}))
    with pytest.raises(BundleError, match="revoked"):
        find(bundle, [CI.sign(bundle)], roots)
    assert find(bundle, [CI.sign(bundle), RELEASE.sign(bundle)], roots).name == "release"


def test_a_revoked_key_that_is_not_named_counts_no_more(bundle: OpenBundle) -> None:
    unnamed = CI.sign(bundle).replace(b'{"hint":"' + CI.key.id.encode() + b'"}', b"{}")
    assert find(bundle, [unnamed]).name == "ci"
    with pytest.raises(BundleError, match="revoked"):
        find(bundle, [unnamed], Roots(ROOTS.keys, frozenset({CI.key.id})))


PROJECT = '[project]\nname = "churn"\n[model]\nsource = "m"\n'


def test_roots_are_read_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "ci.pub").write_bytes(CI.key.pem)
    text = f'{PROJECT}[trust]\nkeys = {{ ci = "ci.pub" }}\nrevoked = ["{RELEASE.key.id}"]\n'
    roots = load_roots(parse_project(text, root=tmp_path))
    assert roots == Roots({"ci": CI.key}, frozenset({RELEASE.key.id}))
    assert load_roots(None) == Roots()
    (tmp_path / "ci.pub").write_text("none")
    with pytest.raises(ConfigError, match=r"mlship.toml:6: .*ci\.pub"):
        load_roots(parse_project(text, root=tmp_path))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[trust]\nrevoked = ["ab"]\n', "mlship.toml:6: .*64 hexadecimal digits"),
        ('[targets.prod]\ntype = "local"\nrequire = ["signature"]\n', "mlship.toml:7: .*has no keys"),
        ('[targets.prod]\ntype = "local"\nrequire = ["luck"]\n', "mlship.toml:7: "),
        (
            '[trust]\nkeys = { ci = "ci.pub" }\n[targets.prod]\ntype = "local"\nrequire = ["signature"]\n'
            'signed_by = ["cd"]\n',
            "mlship.toml:10: .*no key of",
        ),
        (
            '[trust]\nkeys = { ci = "ci.pub" }\n[targets.prod]\ntype = "local"\nsigned_by = ["ci"]\n',
            "mlship.toml:9: .*Add require",
        ),
    ],
)
def test_wrong_rules_are_told_with_their_line(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_project(PROJECT + text, root=tmp_path)
