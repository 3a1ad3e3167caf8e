"""Questions to an assistant in Chinese, made by templates out of three other samples; and the same texts as they stand."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa

from dapeng.core.kinds import samples
from dapeng.data.table import Source
from dapeng.samples.base import Sample, part, side_of

LONGEST = {"translate": 200, "explain": 160, "summarise": 400, "review": 200}
"""Letters of what is asked about at most (of an explanation: of the answer)."""
ONE_IN = 3
"""One package in so many is asked about; there are many."""
ASKED: dict[str, tuple[str, ...]] = {
    "translate": ("把下面的英文翻译成中文：\n{}", "请翻译成中文：{}", "{}\n这段英文用中文怎么说？"),
    "explain": ("请解释一下：{}", "帮助里关于“{}”是怎么说的？", "{}——请用一段话说明。"),
    "summarise": ("用一行英文概括这个软件包：\n{}", "下面是一个软件包的说明，请用英文写一行简介。\n{}", "{}\n请把上面的说明缩成一行英文。"),
    "review": ("这条评论是好评还是差评？\n{}", "{}\n写这条评论的人满意吗？", "请判断下面这条评论的态度：\n{}"),
}  # fmt: skip
"""Ways to ask for each task."""
VERDICTS = (("这是好评。", "这是差评。"), ("满意。", "不满意。"), ("态度是正面的。", "态度是负面的。"))
"""What is answered to the ways to ask about a review: for it, against it."""
HEADING = re.compile(r"[^。！？：:.,，；;]{3,24}")
"""What stands above a paragraph, and not in it."""
HAN = re.compile("[\u4e00-\u9fff]")


class Asked(NamedTuple):
    """One pair: which task, what is asked about, and the answer; way: how it is asked."""

    task: str
    about: str
    answer: str
    way: int

    @property
    def question(self) -> str:
        return ASKED[self.task][self.way].format(self.about)


@samples
class AssistantZh(Sample):
    """51,401 questions to an assistant, asked in Chinese in three ways a task, and its answers: translate a paragraph of a program's
    help, explain one of its headings, put a package's description into one line of English, say whether a review is for or against.
    Pages and families of packages are never on two sides of the pairs, nor is what is asked about."""

    type: Literal["assistant_zh"] = "assistant_zh"
    licence: ClassVar = "MPL-2.0 (help), free by package (descriptions), MIT (reviews)"
    source: ClassVar = "made by templates from sample:help_en_zh, sample:synopsis_en and sample:sentiment_zh"
    rows: ClassVar = 51_401
    columns: ClassVar = ("task", "talk")
    target: ClassVar = "talk"

    def load(self) -> dict[str, Source]:
        parts: dict[str, Source] = {}
        known: set[str] = set()
        for name, texts in _sides().items():
            found = {a.question: a for a in _pairs(texts) if a.about not in known}
            known |= {a.about for a in found.values()}
            asked = _mixed(found)
            cells = {"task": pa.array([a.task for a in asked]), "talk": pa.array([_talk(a) for a in asked])}
            parts[name] = part(self.type, name, cells)
        return parts


@samples
class AssistantZhPlain(Sample):
    """39,934 texts of assistant_zh as they stand, for a model that reads before it is asked: pages of help with the translation behind each
    paragraph, packages with their description, reviews. What assistant_zh validates and tests with is on the same side here."""

    type: Literal["assistant_zh_plain"] = "assistant_zh_plain"
    licence: ClassVar = AssistantZh.licence
    source: ClassVar = "sample:help_en_zh, sample:synopsis_en and sample:sentiment_zh, laid out as texts"
    rows: ClassVar = 39_934
    columns: ClassVar = ("text",)
    target: ClassVar = "text"

    def load(self) -> dict[str, Source]:
        return {
            name: part(self.type, name, {"text": pa.array(_mixed({t: t for t in _plain(texts)}))})
            for name, texts in _sides().items()
        }


class Texts(NamedTuple):
    """Rows of one side."""

    help: list[dict[str, Any]]
    packages: list[dict[str, Any]]
    reviews: list[dict[str, Any]]


def _sides() -> dict[str, Texts]:
    """What the three samples hold, by side; reviews have no validation rows, so that some of those that train are."""
    known = samples.members()
    found = {
        n: {p: s.read().to_pylist() for p, s in known[n]().load().items()}
        for n in ("help_en_zh", "synopsis_en", "sentiment_zh")
    }
    reviews: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": found["sentiment_zh"]["test"]}
    for row in found["sentiment_zh"]["train"]:
        reviews["validation" if side_of(row["text"]) == "validation" else "train"].append(row)
    return {
        side: Texts(found["help_en_zh"][side], _some(found["synopsis_en"][side]), reviews[side]) for side in reviews
    }


def _some(packages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One package in so many; of those that are described alike the first."""
    first = {row["description"]: row for row in reversed(packages)}
    return [row for row in first.values() if _number(row["description"]) % ONE_IN == 0]


def _pairs(texts: Texts) -> Iterator[Asked]:
    yield from _translated(texts.help)
    yield from _explained(texts.help)
    for row in texts.packages:
        about = " ".join(row["description"].partition("\n\n")[0].split())
        if 40 <= len(about) <= LONGEST["summarise"]:
            yield _asked("summarise", about, row["synopsis"])
    for row in texts.reviews:
        if len(row["text"]) <= LONGEST["review"]:
            asked = _asked("review", row["text"], "")
            yield asked._replace(answer=VERDICTS[asked.way][row["label"] == "negative"])


def _translated(rows: list[dict[str, Any]]) -> Iterator[Asked]:
    """Paragraphs of three words or more, whose translation is in Chinese; each once."""
    first = {row["en"]: row["zh"] for row in reversed(rows)}
    for en, zh in first.items():
        if len(en.split()) > 2 and len(en) <= LONGEST["translate"] and HAN.search(zh):
            yield _asked("translate", en, zh)


def _explained(rows: list[dict[str, Any]]) -> Iterator[Asked]:
    """Headings that stand once in the help, with the paragraph below them."""
    often = Counter(row["zh"] for row in rows)
    for above, below in pairwise(rows):
        heading, text = above["zh"], below["zh"]
        short = HEADING.fullmatch(heading) and HAN.search(heading) and often[heading] == 1
        if short and above["page"] == below["page"] and text.endswith("。") and 20 <= len(text) <= LONGEST["explain"]:
            yield _asked("explain", heading, text)


def _plain(texts: Texts) -> Iterator[str]:
    for _, rows in groupby(texts.help, key=lambda row: row["page"]):
        yield "\n".join(f"{row['en']}\n{row['zh']}" for row in rows)
    for row in texts.packages:
        yield f"{row['name']} - {row['synopsis']}\n{row['description']}"
    for row in texts.reviews:
        yield row["text"]


def _asked(task: str, about: str, answer: str) -> Asked:
    return Asked(task, about, answer, _number(about) % len(ASKED[task]))


def _number(text: str) -> int:
    """The same for a text always, and any for any."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[1:5], "big")


def _mixed(rows: dict[str, Any]) -> list[Any]:
    """Rows in an order that has nothing to do with what they are. rows: by their text."""
    return [rows[text] for text in sorted(rows, key=lambda t: (_number(t), t))]


def _talk(asked: Asked) -> str:
    turns = [{"role": "user", "content": asked.question}, {"role": "assistant", "content": asked.answer}]
    return json.dumps(turns, ensure_ascii=False)
