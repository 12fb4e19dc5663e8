"""What takes the room: packages by name, and a build that is refused above its budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_bundle import LINUX, MACOS, make_layers

from mlship.bundle.archive import write_layer
from mlship.bundle.audit.room import Part, check_budget, parts
from mlship.config import Project, parse_project
from mlship.errors import BuildError

SMALLEST = '[project]\nname = "churn"\n[model]\nsource = "m"\n'


def project(max_size: str) -> Project:
    return parse_project(f'{SMALLEST}[bundle]\nmax_size = "{max_size}"\n', root=Path("/p"))


def test_the_largest_part_comes_first(tmp_path: Path) -> None:
    layers = make_layers(tmp_path)
    found = parts((layer.platform, layer.entries) for layer in layers)
    assert found[:2] == [Part("numpy", LINUX, 800), Part("numpy", MACOS, 600)]
    assert {part.name for part in found} == {"numpy", "model", "reduction", "golden", "mlship_runtime", "a"}
    assert sum(part.size for part in found) == sum(e.size for layer in layers for e in layer.entries)


def test_what_belongs_to_a_package_counts_with_it(tmp_path: Path) -> None:
    names = ("numpy/a.py", "numpy.libs/x.so", "numpy-2.4.6.dist-info/METADATA", "six.py")
    files = [(f"runtime/{LINUX}/{name}", b"12345") for name in names]
    layer = write_layer(tmp_path / "x.tar", "runtime", files, platform=LINUX)
    assert parts([(LINUX, layer.entries)]) == [Part("numpy", LINUX, 15), Part("six", LINUX, 5)]


def test_a_budget_is_kept_or_names_the_largest_parts(tmp_path: Path) -> None:
    layers = make_layers(tmp_path)
    check_budget(project("0.2 MB"), layers, 200_000)
    check_budget(parse_project(SMALLEST, root=Path("/p")), layers, 10**12)
    with pytest.raises(BuildError) as caught:
        check_budget(project("199.9 kB"), layers, 200_000)
    assert caught.value.what == "the bundle has 0.2 MB, above the 199.9 kB of [bundle] max_size"
    assert caught.value.cause.startswith(f"the largest parts are numpy ({LINUX}) 0.0 MB, numpy ({MACOS})")
