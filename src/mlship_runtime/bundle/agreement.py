"""Whether a manifest and its spec speak of the same bundle: the index covers exactly the layers there are."""

from __future__ import annotations

from mlship_runtime.bundle.manifest import FORM, Manifest
from mlship_runtime.bundle.spec import FileEntry, Spec
from mlship_runtime.errors import InvalidBundle


def check_agreement(manifest: Manifest, spec: Spec) -> None:
    """Raise InvalidBundle unless every tar layer is indexed, each file lies in its layer's folder, and the
    files that the spec names are among them."""
    if (manifest.name, manifest.version) != (spec.name, spec.version):
        raise InvalidBundle("manifest and mlship.json are of different bundles")
    if manifest.annotations.get(FORM, "onnx") != spec.form:
        raise InvalidBundle(
            "manifest and mlship.json disagree on what the model is",
            cause=f"{manifest.annotations.get(FORM, 'onnx')[:40]!a} and {spec.form!a}",
        )
    tars = [layer for layer in manifest.layers if layer.is_tar]
    if {layer.digest for layer in tars} != set(spec.files):
        raise InvalidBundle("mlship.json indexes other layers than the manifest has")
    for layer in tars:
        folder = layer.filepath + "/"
        for entry in spec.files[layer.digest]:
            if not entry.path.startswith(folder):
                raise InvalidBundle(
                    f"{entry.path!a} lies outside its layer's folder", cause=f"it is not in {folder}"
                )
    for platform in manifest.platforms or ("any",):
        _check_distinct(manifest, spec, platform)
    _check_named_files(manifest, spec)


def _check_distinct(manifest: Manifest, spec: Spec, platform: str) -> None:
    """Layers of one platform may be unpacked into one folder: their files must not meet."""
    seen = set()
    for layer in manifest.layers_for(platform):
        for entry in spec.files.get(layer.digest, ()):
            if entry.path in seen:
                raise InvalidBundle(f"{entry.path!a} is in two layers")
            seen.add(entry.path)


def _check_named_files(manifest: Manifest, spec: Spec) -> None:
    entries: dict[str, tuple[FileEntry, ...]] = {}
    for layer in manifest.layers:
        if layer.is_tar:
            entries[layer.role] = entries.get(layer.role, ()) + spec.files[layer.digest]
    for role, path in (("model", spec.model["path"]), ("golden", spec.golden["path"])):
        if not _has(entries[role], path):
            raise InvalidBundle(f"the bundle has no file {path!a}", cause="mlship.json names it")
    if (spec.reduction is None) == ("reduction" in entries):
        raise InvalidBundle("mlship.json and the manifest disagree on whether there is a reduction")
    if spec.reduction is not None and spec.reduction["kind"] == "onnx":
        if not _has(entries["reduction"], spec.reduction["path"]):
            raise InvalidBundle(
                f"the bundle has no file {spec.reduction['path']!a}", cause="mlship.json names it"
            )
    elif spec.reduction is not None:
        module = "reduction/" + spec.reduction["module"].replace(".", "/")
        if not any(_has(entries["reduction"], module + end) for end in (".py", "/__init__.py")):
            raise InvalidBundle(f"the bundle has no module {spec.reduction['module']!r} for its reduction")


def _has(entries: tuple[FileEntry, ...], path: str) -> bool:
    return any(entry.path == path for entry in entries)
