"""GET /: a page to try a model, made from its columns. One file, no request to anywhere else, strict content policy."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from typing import Any

from dapeng.columns.base import Entry
from dapeng.serve.cells import Reader
from dapeng.serve.engine import Engine

MOST_OPTIONS = 200
MOST_BOXES = 24
"""Labels up to which each has a box of its own; of more, some are typed."""
MOST_LISTED = 2_000
"""Labels that are offered while one types."""
MOST_NUMBERS = 32
"""Numbers of a list up to which each has a field of its own."""
WORDS = {
    "lang": ("en", "zh-CN"),
    "inputs": ("Inputs", "输入"),
    "predict": ("Predict", "预测"),
    "prediction": ("Prediction", "预测结果"),
    "hint": ("Fill in the fields and press Predict.", "填写左边的内容，然后按“预测”。"),
    "unknown": ("(unknown)", "（未知）"),
    "missing": ("leave empty if unknown", "不知道可以留空"),
    "picture": ("Choose a picture, or drop one here", "选择图片，或拖到这里"),
    "file": ("Choose a file, or drop one here", "选择文件，或拖到这里"),
    "took": ("answered in {} ms", "用时 {} 毫秒"),
    "failed": ("The server did not answer.", "服务器没有响应。"),
    "more": ("{} more", "另有 {} 个"),
    "programs": ("For programs", "程序接口"),
    "models": ("Models", "模型"),
    "add": ("type a label, then Enter", "输入一个标签，然后按回车"),
    "remove": ("remove {}", "移除 {}"),
    "numbers": ("{} numbers, with blanks between them", "{} 个数字，用空格分开"),
    "steps": ("a step on each line: {} numbers, with blanks between them", "每行一步：{} 个数字，用空格分开"),
    "place": ("{}, number {}", "{} 的第 {} 个数"),
    "range": ("seen in training: {} to {}", "训练中的范围：{} 至 {}"),
}


class Page:
    """The page of one model, in English and in Chinese, rendered once."""

    def __init__(self, engine: Engine, models: list[str]):
        self.engine, self.models = engine, models
        here = files("dapeng.serve.page")
        self.css = here.joinpath("page.css").read_text("utf-8")
        self.js = here.joinpath("page.js").read_text("utf-8")
        policy = [
            "default-src 'none'",
            f"style-src {_hash(self.css)}",
            f"script-src {_hash(self.js)}",
            "connect-src 'self'",
            "img-src 'self' data: blob:",
            "media-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
        self.policy = "; ".join(policy).encode()
        self.rendered: dict[bool, bytes] = {}

    def wants_chinese(self, languages: str) -> bool:
        """True if the browser asks for Chinese before English."""
        for language in languages.lower().split(","):
            name = language.partition(";")[0].strip()
            if name.startswith(("zh", "en")):
                return name.startswith("zh")
        return False

    def headers(self, chinese: bool) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-security-policy", self.policy),
            (b"cache-control", b"no-store"),
            (b"vary", b"accept-language"),
        ]

    def html(self, chinese: bool) -> bytes:
        if chinese not in self.rendered:
            self.rendered[chinese] = self._html({k: v[chinese] for k, v in WORDS.items()}).encode()
        return self.rendered[chinese]

    def _html(self, words: dict[str, str]) -> str:
        fields = "\n".join(self._field(i, r, words) for i, r in enumerate(self.engine.readers))
        kinds = {n: c.answers for n, c in self.engine.product.outputs.items()}
        overlays = {n: {**c.overlay(), "of": c.of} for n, c in self.engine.product.outputs.items()}
        about = {
            "model": self.engine.name,
            "several": len(self.models) > 1,
            "words": words,
            "kinds": kinds,
            "overlays": overlays,
        }
        shown = json.dumps(about, ensure_ascii=False).replace("<", "\\u003c")
        outputs = ", ".join(escape(n) for n in self.engine.product.outputs)
        return f"""<!doctype html>
<html lang="{words["lang"]}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(self.engine.name)} - Dapeng</title>
<style>{self.css}</style>
</head>
<body>
<header><h1>{escape(self.engine.name)}</h1><p>{escape(self._reads())} &rarr; {outputs}</p>{self._links(words)}</header>
<main>
<form id="form" autocomplete="off" novalidate>
<h2>{words["inputs"]}</h2>
{fields}
<button type="submit">{words["predict"]}</button>
</form>
<section aria-live="polite" aria-labelledby="found">
<h2 id="found">{words["prediction"]}</h2>
<div id="result"><p class="quiet">{words["hint"]}</p></div>
</section>
</main>
<footer><details><summary>{words["programs"]}</summary><pre tabindex="0" role="region" aria-label="{words["programs"]}">{escape(self._example())}</pre>
<p><a href="/openapi.json">OpenAPI</a> <a href="/v2/models/{escape(self.engine.name)}">Open Inference Protocol</a> <a href="/metrics">metrics</a></p></details></footer>
<script type="application/json" id="about">{shown}</script>
<script>{self.js}</script>
</body>
</html>
"""

    def _reads(self) -> str:
        names = self.engine.names
        return ", ".join(names[:8]) + (f" ... ({len(names)})" if len(names) > 8 else "")

    def _links(self, words: dict[str, str]) -> str:
        if len(self.models) < 2:
            return ""
        links = " ".join(f'<a href="/?model={escape(m)}">{escape(m)}</a>' for m in self.models)
        return f'<nav aria-label="{words["models"]}">{links}</nav>'

    def _field(self, number: int, reader: Reader, words: dict[str, str]) -> str:
        """One labelled control."""
        entry, name = reader.entry, escape(reader.name)
        head = f'<div class="field"><label for="f{number}">{name}</label>'
        shared = f'id="f{number}" data-name="{name}" data-type="{escape(reader.column.type)}"'
        if entry.kind == "file":
            control = f'<input type="file" accept="{escape(entry.accept)}" {shared}><img id="p{number}" alt="" hidden>'
            said = words["picture" if entry.accept.startswith("image/") else "file"]
            return f'{head}<div class="drop">{control}<small>{said}</small></div></div>'
        if entry.kind in GROUPS:
            return GROUPS[entry.kind](number, reader, words)
        if entry.kind == "choice" and len(entry.choices) <= MOST_OPTIONS:
            options = "".join(f'<option value="{escape(c)}">{escape(c)}</option>' for c in entry.choices)
            return f'{head}<select {shared}>{options}<option value="">{words["unknown"]}</option></select></div>'
        start = escape(entry.start)
        if entry.kind == "lines":
            return f'{head}<textarea {shared} rows="4">{start}</textarea></div>'
        how = 'type="text" inputmode="decimal"' if entry.kind == "number" else 'type="text"'
        if entry.kind == "date":
            how = 'type="datetime-local"' if "T" in entry.start else 'type="date"'
        hint = "" if start else f' placeholder="{words["missing"]}"'
        control = f'<input {how} {shared} value="{start}"{hint}'
        if entry.bounds is None:
            return f"{head}{control}></div>"
        about = escape(words["range"].format(*(b if isinstance(b, str) else f"{b:.4g}" for b in entry.bounds)))
        return f'{head}{control} aria-describedby="d{number}"><small id="d{number}">{about}</small></div>'

    def _example(self) -> str:
        row = {r.name: _example_of(r.entry) for r in self.engine.readers[:12]}
        shown = json.dumps(row, ensure_ascii=False)
        return f"curl http://127.0.0.1:8000/predict -H 'content-type: application/json' -d '{shown}'"


def _example_of(entry: Entry) -> Any:
    """A cell of the example for programs."""
    if entry.kind == "steps":
        steps = [[float(v) for v in line.split()] for line in entry.start.splitlines()]
        return [s[0] for s in steps] if len(steps[0]) == 1 else steps
    if entry.kind == "numbers":
        return [float(v) for v in entry.start.split()[:MOST_NUMBERS]]
    examples = {"number": 1.5, "file": "<base64>", "date": entry.start, "labels": list(entry.choices[:2])}
    return examples.get(entry.kind, "...")


def _labels(number: int, reader: Reader, words: dict[str, str]) -> str:
    """A box for each of some labels; of many, a field that adds one."""
    name, choices = escape(reader.name), reader.entry.choices
    shared = f'data-name="{name}" data-type="{escape(reader.column.type)}"'
    if len(choices) <= MOST_BOXES:
        boxes = "".join(
            f'<label class="tag"><input type="checkbox" value="{escape(c)}"><span>{escape(c)}</span></label>'
            for c in choices
        )
        return f'<fieldset class="field" data-kind="boxes" {shared}><legend>{name}</legend><div class="tags">{boxes}</div></fieldset>'
    options = "".join(f'<option value="{escape(c)}"></option>' for c in choices[:MOST_LISTED])
    field = f'<input type="text" id="f{number}" list="l{number}" placeholder="{words["add"]}">'
    return (
        f'<div class="field" data-kind="tags" {shared}><label for="f{number}">{name}</label>{field}'
        f'<datalist id="l{number}">{options}</datalist><div class="tags"></div></div>'
    )


def _numbers(number: int, reader: Reader, words: dict[str, str]) -> str:
    """A field for each of some numbers; for more, one for all."""
    name, starts = escape(reader.name), reader.entry.start.split()
    shared = f'data-name="{name}" data-type="{escape(reader.column.type)}"'
    if len(starts) > MOST_NUMBERS:
        return _area(number, reader, words["numbers"].format(f"{len(starts):,}"))
    fields = "".join(
        f'<input type="text" inputmode="decimal" value="{escape(v)}" aria-label="{escape(words["place"].format(reader.name, i))}">'
        for i, v in enumerate(starts, 1)
    )
    return f'<fieldset class="field" data-kind="numbers" {shared}><legend>{name}</legend><div class="numbers">{fields}</div></fieldset>'


def _steps(number: int, reader: Reader, words: dict[str, str]) -> str:
    """A line for each step."""
    width = len(reader.entry.start.split("\n", 1)[0].split())
    return _area(number, reader, words["steps"].format(f"{width:,}"))


def _area(number: int, reader: Reader, about: str) -> str:
    """A field of several lines, and what belongs into it."""
    name, start = escape(reader.name), escape(reader.entry.start)
    shared = f'data-name="{name}" data-type="{escape(reader.column.type)}"'
    head = f'<div class="field"><label for="f{number}">{name}</label>'
    area = f'<textarea id="f{number}" {shared} rows="4" aria-describedby="d{number}">{start}</textarea>'
    return f'{head}{area}<small id="d{number}">{escape(about)}</small></div>'


GROUPS = {"labels": _labels, "numbers": _numbers, "steps": _steps}
"""Cells that take more than one control."""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
