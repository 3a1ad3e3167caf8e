"""Metrics of written texts: how likely the true one was, and how near what was written is to it.

Papineni et al.: BLEU, 2002; Popović: chrF, 2015; Snover et al.: TER, 2006; all as sacrebleu counts them (Post, 2018,
https://arxiv.org/abs/1804.08771). Lin: ROUGE, 2004. Rajpurkar et al.: exact match and F1, 2016.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.core.errors import need_extra
from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, View, ratio
from dapeng.tokens.plain_words import HAN, words

HAN_SHARE = 0.3
MOST_MOVES = 4_000_000
"""Sum of the third powers of the true texts' lengths in words up to which moves of phrases are looked for: about a microsecond each."""
UNKNOWN, UNWRITTEN = "\ua66e", "\ua66d"
"""Letters that stand for U+FFFD, what a tokeniser does not know, in true texts and in what was written: they are never the same."""


@dataclass
class TextView(View):
    """What was written (N,) beside the true texts (N,). nats, tokens: (N,) of the true texts, by the network; 0 where unknown.

    wrote: False where nothing was asked to be written: a language model without inputs. heard: it is a transcript, whose words are compared.
    """

    task: ClassVar[str] = "text"
    said: np.ndarray
    texts: np.ndarray
    nats: np.ndarray
    tokens: np.ndarray
    wrote: bool = True
    heard: bool = False
    counted: dict[str, np.ndarray] = field(default_factory=dict)
    """What a metric counts in each row, by its name."""

    @property
    def rows(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> TextView:
        return TextView(self.said[rows], self.texts[rows], self.nats[rows], self.tokens[rows], self.wrote, self.heard)

    def same(self, other: View) -> bool:
        if not isinstance(other, TextView) or not bool((self.said == other.said).all()):
            return False
        return bool(np.allclose(self.nats, other.nats))  # what writes nothing says how likely texts are

    @cached_property
    def bytes(self) -> np.ndarray:
        """(N,) of the true texts in UTF-8. What the tokeniser does not know (U+FFFD) counts none: nobody has foreseen it."""
        return np.array([len(t.replace("\ufffd", "").encode("utf-8", "replace")) for t in self.texts], np.float64)

    @cached_property
    def han(self) -> bool:
        """True where most letters of the true texts are Chinese, Japanese or Korean."""
        some = "".join(self.texts[:200].tolist())
        return len(re.findall(f"[{HAN}]", some)) > HAN_SHARE * max(len(some), 1)

    @cached_property
    def moves(self) -> int:
        """What looking for moves of phrases takes, by the true texts alone, so that it is the same for all that write."""
        return sum(len(words(t)) ** 3 for t in self.texts.tolist())

    @cached_property
    def pairs(self) -> tuple[list[str], list[str]]:
        """What was written and the truth, as they are compared: whoever sees U+FFFD has no answer."""
        return (
            [t.replace("\ufffd", UNWRITTEN) for t in self.said.tolist()],
            [t.replace("\ufffd", UNKNOWN) for t in self.texts.tolist()],
        )

    @cached_property
    def words(self) -> list[tuple[list[str], list[str]]]:
        """Words of what was written and of the truth, in lower case; each Han character is one."""
        return [(words(a), words(b)) for a, b in zip(*self.pairs)]


class _Texts(Metric):
    fits: ClassVar[tuple[str, ...]] = ("text",)
    written: ClassVar[bool] = True
    """True if it looks at what was written."""

    def applies(self, view: View) -> bool:
        if not isinstance(view, TextView):
            return False
        return view.wrote if self.written else bool(view.tokens.any())

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, TextView)
        return self.of(drawn, drawn.view)

    def of(self, drawn: Drawn, view: TextView) -> np.ndarray:
        """(R,) one value for each weighting."""
        raise NotImplementedError


@metrics
class BitsPerByte(_Texts):
    """Bits that the network needs for a byte of the true texts, as its tokeniser gives them back; comparable between tokenisers that lose nothing."""

    type: Literal["bits_per_byte"] = "bits_per_byte"
    title: ClassVar[str] = "Bits per byte"
    higher_is_better: ClassVar[bool] = False
    written: ClassVar[bool] = False

    def of(self, drawn: Drawn, view: TextView) -> np.ndarray:
        known = view.bytes * (view.tokens > 0)  # a text that could not be foreseen at all counts on neither side
        return ratio(drawn.counts @ view.nats, drawn.counts @ known) / np.log(2)


@metrics
class TokenPerplexity(_Texts):
    """The number of tokens among which the network was undecided, as a geometric mean; depends on the tokeniser."""

    type: Literal["perplexity"] = "perplexity"
    title: ClassVar[str] = "Perplexity"
    higher_is_better: ClassVar[bool] = False
    written: ClassVar[bool] = False

    def of(self, drawn: Drawn, view: TextView) -> np.ndarray:
        return np.exp(np.minimum(ratio(drawn.counts @ view.nats, drawn.counts @ view.tokens), 700.0))


@metrics
class ExactMatch(_Texts):
    """Share of texts that are the true one, letter by letter; one with what the tokeniser does not know (U+FFFD) is none."""

    type: Literal["exact_match"] = "exact_match"
    title: ClassVar[str] = "Exact match"
    share: ClassVar[bool] = True

    def of(self, drawn: Drawn, view: TextView) -> np.ndarray:
        return drawn.mean(np.array([a == b for a, b in zip(*view.pairs)], np.float64))


@metrics
class TokenF1(_Texts):
    """Overlap of the words of a text with those of the true one, as F1, mean over the rows; each Han character is a word."""

    type: Literal["token_f1"] = "token_f1"
    title: ClassVar[str] = "Word F1"

    def of(self, drawn: Drawn, view: TextView) -> np.ndarray:
        return drawn.mean(self.each(view))

    def each(self, view: TextView) -> np.ndarray:
        """(N,) of each text."""
        return np.array([_f1(Counter(a), Counter(b)) for a, b in view.words])


@metrics
class Rouge1(_Texts):
    """Shared words (ROUGE-1 F), mean over the rows."""

    type: Literal["rouge_1"] = "rouge_1"
    title: ClassVar[str] = "ROUGE-1"
    size: ClassVar[int] = 1

    def of(self, drawn: Drawn, view: TextView) -> np.ndarray:
        return drawn.mean(np.array([_f1(_grams(a, self.size), _grams(b, self.size)) for a, b in view.words]))


@metrics
class Rouge2(Rouge1):
    """Shared pairs of words (ROUGE-2 F), mean over the rows."""

    type: Literal["rouge_2"] = "rouge_2"
    title: ClassVar[str] = "ROUGE-2"
    size: ClassVar[int] = 2


@metrics
class RougeL(_Texts):
    """The longest common sequence of words (ROUGE-L F), mean over the rows."""

    type: Literal["rouge_l"] = "rouge_l"
    title: ClassVar[str] = "ROUGE-L"

    def of(self, drawn: Drawn, view: TextView) -> np.ndarray:
        return drawn.mean(np.array([_harmonic(_common(a, b), len(a), len(b)) for a, b in view.words]))


class _Sacre(_Texts):
    """A corpus figure out of sums of each row's counts, as sacrebleu has them."""

    def library(self, view: TextView) -> Any:
        raise NotImplementedError

    def of(self, drawn: Drawn, view: TextView) -> np.ndarray:
        return self._scores(view, drawn.counts @ self._counted(view))

    def each(self, view: TextView) -> np.ndarray:
        """(N,) of each text by itself."""
        return self._scores(view, self._counted(view))

    def _counted(self, view: TextView) -> np.ndarray:
        """(N, k) what sacrebleu counts in each text."""
        if self.type not in view.counted:
            said, texts = view.pairs
            stats = self.library(view)._extract_corpus_statistics(said, [texts])
            view.counted[self.type] = np.asarray(stats, np.float64)
        return view.counted[self.type]

    def _scores(self, view: TextView, counts: np.ndarray) -> np.ndarray:
        metric = self.library(view)
        return np.array([metric._compute_score_from_stats(row.tolist()).score for row in counts])

    def signature(self, view: TextView) -> str:
        """What was counted, in sacrebleu's words."""
        self.values(Drawn(view, np.ones((1, view.rows))))
        metric = self.library(view)
        metric._extract_corpus_statistics([""], [[""]])
        return str(metric.get_signature())


def _sacrebleu() -> Any:
    try:
        import sacrebleu.metrics
    except ImportError:
        raise need_extra("text", "sacrebleu") from None
    return sacrebleu.metrics


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("sacrebleu") is not None


@metrics
class Bleu(_Sacre):
    """BLEU as sacrebleu counts it, by characters where the true texts are Chinese."""

    type: Literal["bleu"] = "bleu"
    title: ClassVar[str] = "BLEU"

    def applies(self, view: View) -> bool:
        return super().applies(view) and _installed()

    def library(self, view: TextView) -> Any:
        return _sacrebleu().BLEU(tokenize="zh" if view.han else "13a")


@metrics
class ChrF(_Sacre):
    """chrF2 as sacrebleu counts it: n-grams of characters."""

    type: Literal["chrf"] = "chrf"
    title: ClassVar[str] = "chrF2"

    def applies(self, view: View) -> bool:
        return super().applies(view) and _installed()

    def library(self, view: TextView) -> Any:
        return _sacrebleu().CHRF()


@metrics
class TranslationEdits(_Sacre):
    """Edits for 100 true words that turn what was written into the truth, a phrase that moves counted as one: TER as sacrebleu counts it.

    Left out where there are so many long texts that looking for moves would take more than some seconds.
    """

    type: Literal["ter"] = "ter"
    title: ClassVar[str] = "TER"
    higher_is_better: ClassVar[bool] = False

    def applies(self, view: View) -> bool:
        return super().applies(view) and isinstance(view, TextView) and view.moves <= MOST_MOVES and _installed()

    def library(self, view: TextView) -> Any:
        return _sacrebleu().TER(asian_support=view.han, normalized=view.han)


def _grams(words: list[str], size: int) -> Counter[Any]:
    return Counter(zip(*(words[i:] for i in range(size))))


def _f1(said: Counter[Any], true: Counter[Any]) -> float:
    return _harmonic((said & true).total(), said.total(), true.total())


def _harmonic(shared: int, said: int, true: int) -> float:
    return 2 * shared / max(said + true, 1)


def _common(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence."""
    before = [0] * (len(b) + 1)
    for word in a:
        now = [0]
        for at, other in enumerate(b):
            now.append(before[at] + 1 if word == other else max(before[at + 1], now[at]))
        before = now
    return before[-1]
