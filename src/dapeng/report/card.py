"""MODEL_CARD.md: what a model is, for whoever gets it without the report.

Mitchell et al.: Model Cards for Model Reporting, 2019, https://arxiv.org/abs/1810.03993
"""

from __future__ import annotations

import re
from typing import Any

from dapeng.core.run import RunFolder
from dapeng.evaluate.words import ALIKE, all_alike
from dapeng.report.html import escaped, figure_of
from dapeng.report.section import outputs, read
from dapeng.report.sections.columns import described
from dapeng.report.sections.made import command, facts

SPECIAL = re.compile(r"([\\`*_\[\]|#!~])")
MOST_COLUMNS = 100


def card(folder: RunFolder) -> str:
    """The card as Markdown; names from outside are escaped, so that they stay names."""
    parts = [f"# {plain(folder.name)}", *_verdict(folder), *_columns(folder), *_figures(folder), *_beside(folder)]
    parts += [*_use(folder), "## How it was made", ""]
    parts += [f"- {name}: {plain(value)}" for name, value in facts(folder) if value]
    parts += ["", f"Make it again: `{command(folder)}`. The full report is report.html beside this file.", ""]
    return "\n".join(parts)


def plain(value: Any) -> str:
    """A text of any origin within Markdown: one line, no markup of its own."""
    return SPECIAL.sub(r"\\\1", " ".join(str(escaped(value)).split()))


def _verdict(folder: RunFolder) -> list[str]:
    words = str(read(folder, "metrics.json").get("verdict", ""))
    return ["", *(f"> {plain(line)}" for line in words.splitlines()), ""] if words else [""]


def _columns(folder: RunFolder) -> list[str]:
    found = read(folder, "columns.json")
    rows = ["## What it reads and what it says", "", "| column | is | fitted |", "|---|---|---|"]
    for side in ("inputs", "outputs"):
        for name, column in list(found.get(side, {}).items())[:MOST_COLUMNS]:
            rows.append(f"| {plain(name)} | {side[:-1]} | {plain(described(name, column, side == 'outputs'))} |")
    return [*rows, ""]


def _figures(folder: RunFolder) -> list[str]:
    metrics = read(folder, "metrics.json")
    level = f"{metrics.get('confidence', 0.95):.0%}"
    lines = []
    for name, found in outputs(folder).items():
        lines += [
            f"## Figures: {plain(name)}",
            "",
            f"On {found['rows']:,} test rows ({plain(metrics.get('how', ''))}).",
            "",
        ]
        lines += [f"| metric | value | {level} from | to |", "|---|---:|---:|---:|"]
        for metric, figure in found["metrics"].items():
            if figure["value"] is not None:
                cells = [figure_of(metric, figure[k]) for k in ("value", "low", "high")]
                lines.append(f"| {found['titles'][metric]} | " + " | ".join(cells) + " |")
        if any(all_alike(f) for f in found["metrics"].values() if f["value"] is not None):
            lines += ["", f"–: {ALIKE}."]
        lines.append("")
    return lines


def _beside(folder: RunFolder) -> list[str]:
    lines = []
    for name, found in outputs(folder).items():
        if len(found["leaderboard"]) < 2:
            continue
        metric = found["headline"]
        lines += [
            f"## Beside simpler models: {plain(name)}",
            "",
            f"| model | role | {metric} | share |",
            "|---|---|---:|---:|",
        ]
        for row in found["leaderboard"]:
            value = figure_of(metric, row["metrics"][metric]["value"])
            lines.append(f"| {plain(row['name'])} | {row['role']} | {value} | {row['share']:.0%} |")
        lines.append("")
    return lines


def _use(folder: RunFolder) -> list[str]:
    """What holds for every model, and what the test rows say of this one."""
    lines = ["## What it is for, and its limits", ""]
    lines.append("- It holds for rows like the ones that it was trained on; how it does elsewhere was not measured.")
    for name, found in outputs(folder).items():
        if found.get("cut") is not None:
            how = "chosen on the validation rows" if found.get("cut_by") == "validation" else "by its spec"
            said = f"It says {plain(found['positive'])} for {plain(name)} from a probability of {found['cut']:.3g} on"
            lines.append(f"- {said} ({how}).")
        weak = sorted(found.get("per_class", []), key=lambda r: r["f1"])[:3]
        if weak and weak[0]["f1"] < 1:
            shown = ", ".join(f"{plain(r['label'])} ({r['f1']:.2f})" for r in weak)
            lines.append(f"- Its weakest labels of {plain(name)}, by F1: {shown}.")
    return [*lines, ""]
