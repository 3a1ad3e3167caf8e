"""The JSON schema of a spec, shorthands included, for editors: `# yaml-language-server: $schema=.../dapeng.schema.json`.

python -m dapeng.core.schema > schema/dapeng.schema.json
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from dapeng.core.registry import Options
from dapeng.core.spec import Spec

DRAFT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Leaves out titles, which only repeat the keys, and is silent on defaults that are no JSON."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema(root: type[Options] = Spec) -> dict[str, Any]:
    """The schema of `root`, the same for the same members: sorted, with what only files have (`extends`)."""
    made = root.model_json_schema(schema_generator=_Generator, mode="validation")
    for definition in (made, *made.get("$defs", {}).values()):
        definition.pop("title", None)
        _optional(definition)
    made.get("properties", {})["extends"] = {
        "type": "string",
        "description": "Another file that this one is laid upon, beside it.",
    }
    return {"$schema": DRAFT, "title": "Dapeng spec", **_sorted(made)}


def _optional(definition: dict[str, Any]) -> None:
    """A field whose default is {} is filled in by validation: in a file it is just not there."""
    for field in definition.get("properties", {}).values():
        if field.get("default") == {}:
            field.pop("default")


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _sorted(v) for k, v in sorted(value.items())}
    return [_sorted(v) for v in value] if isinstance(value, list) else value


def text(root: type[Options] = Spec) -> str:
    """The schema as the committed file has it."""
    return json.dumps(schema(root), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
