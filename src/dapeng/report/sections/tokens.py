"""How written texts are cut into tokens, script by script."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from dapeng.core.kinds import sections
from dapeng.core.run import RunFolder
from dapeng.report.html import Safe, join, own, table
from dapeng.report.section import Section, read


@sections
class Tokens(Section):
    """Tokens a character of each script of the training texts (fertility): a script that takes many is dear to read and to write."""

    type: Literal["tokens"] = "tokens"
    order: ClassVar[int] = 72
    title: ClassVar[str] = "Tokens"

    def render(self, folder: RunFolder) -> Safe | None:
        found = read(folder, "columns.json")
        each = {n: c["state"] for n, c in found.get("outputs", {}).items() if c["state"].get("scripts")}
        return join(*(_scripts(n, s) for n, s in each.items())) if each else None


def _scripts(name: str, state: dict[str, Any]) -> Safe:
    caption = join(own(name), f": tokeniser {state['kind']}, {state['fertility']:.3f} tokens a character over all")
    rows = [[script, f"{s['share']:.1%}", f"{s['fertility']:.3f}"] for script, s in state["scripts"].items()]
    return table(caption, ["Script", "Share of characters", "Tokens a character"], rows, [1, 2])
