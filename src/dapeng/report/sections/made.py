"""How the run was made: enough to make it again."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, el, join, own
from dapeng.report.section import Section, data_of, resolved


@sections
class Made(Section):
    """Versions, machine, seed, data hash, and the command."""

    type: Literal["made"] = "made"
    order: ClassVar[int] = 90
    title: ClassVar[str] = "How it was made"

    def render(self, folder: RunFolder) -> Safe | None:
        rows = [el("div", el("dt", name), el("dd", own(value))) for name, value in facts(folder) if value]
        again = el("p", "Make it again: ", el("code", command(folder)))
        source = (
            folder.file("spec.yaml").read_text(encoding="utf-8", errors="replace") if folder.has("spec.yaml") else ""
        )
        shown = el("pre", el("code", source), role="region", tabindex="0", aria_label="The spec, as asked")
        spec = el("details", el("summary", "The spec, as asked"), shown) if source else None
        return join(el("dl", *rows, class_="made"), again, spec)


def facts(folder: RunFolder) -> list[tuple[str, str]]:
    """Name and value of what a reader needs to make the run again."""
    done = resolved(folder)
    found, spec = done.get("facts", {}), done.get("spec", {})
    about = folder.about()
    data = data_of(folder)
    return [
        ("Created", str(about.get("created", ""))),
        ("Data", _addresses(data)),
        ("Data, SHA-256", str(found.get("data", ""))),
        ("Rows", f"{found['rows']:,}" if isinstance(found.get("rows"), int) else ""),
        ("Split", str(found.get("split", ""))),
        ("Seed", str(spec.get("train", {}).get("seed", ""))),
        ("Versions", _pairs(found.get("versions", {}))),
        ("Machine", _pairs(found.get("machine", {}))),
        ("Took", str(found.get("took", ""))),
    ]


def _addresses(data: dict[str, Any]) -> str:
    found = [data.get(k) for k in ("path", "train", "validation", "test") if data.get(k)]
    found += [[part["data"], f"(weight {part.get('weight', 1):g})"] for part in data.get("mixture") or ()]
    return ", ".join(", ".join(map(str, v)) if isinstance(v, list) else str(v) for v in found) or "from memory"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in values.items() if v not in (None, ""))


def command(folder: RunFolder) -> str:
    return f"dapeng train {folder.name}/spec.yaml"
