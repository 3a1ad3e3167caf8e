"""What a section of the report is: it reads what verbs left in the run folder, and gives HTML or nothing."""

from __future__ import annotations

from typing import Any, ClassVar

from dapeng.core.kinds import SectionOptions
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe


class Section(SectionOptions):
    """A registered section. Its tag is the anchor that the contents lead to."""

    title: ClassVar[str] = ""

    def render(self, folder: RunFolder) -> Safe | None:
        """The body, without its heading; None where the run has nothing for it."""
        raise NotImplementedError


def read(folder: RunFolder, name: str) -> dict[str, Any]:
    """A JSON file of the run; empty where it isn't there."""
    found = folder.read_json(name) if folder.has(name) else {}
    return found if isinstance(found, dict) else {}


def outputs(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """The judged outputs of metrics.json."""
    found = read(folder, "metrics.json").get("outputs", {})
    return {name: output for name, output in found.items() if output.get("metrics")}


def resolved(folder: RunFolder) -> dict[str, Any]:
    """What was done: {"spec": ..., "facts": ...}."""
    return written(folder, "resolved.yaml")


def data_of(folder: RunFolder) -> dict[str, Any]:
    """What the spec says of its data, a bare address written out."""
    found = written(folder, "spec.yaml").get("data", {})
    return found if isinstance(found, dict) else {"path": found}


def written(folder: RunFolder, name: str) -> dict[str, Any]:
    """The values of a YAML file of the run; empty where it isn't there or can't be read."""
    from dapeng.core.yaml12 import YamlError, decode
    from dapeng.core.yaml12 import read as read_yaml

    if not folder.has(name):
        return {}
    try:
        found = read_yaml(decode(folder.file(name).read_bytes())).value
    except YamlError:
        return {}
    return found if isinstance(found, dict) else {}
