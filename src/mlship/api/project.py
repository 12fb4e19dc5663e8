"""A project with all verbs as methods: the functions of `import mlship` are those of the current folder's."""

from __future__ import annotations

from mlship.api.bundles import Bundles
from mlship.api.images import Images
from mlship.api.registries import Registries
from mlship.api.targets import Targets
from mlship.cli.render import as_text
from mlship.result import draw_with

draw_with(as_text)


class Project(Bundles, Registries, Targets, Images):
    """The project in `folder` (None: the one that the current folder is in, if any), and the verbs on it.

    `progress` is True to show it as this place can (bars on a terminal and in notebooks, else lines), False
    for none, or an object with `say`, `phase` and `advance` that receives it. `timeout` in seconds is for
    requests and rollouts.
    """
