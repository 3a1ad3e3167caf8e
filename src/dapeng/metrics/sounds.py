"""Metrics of sounds that are made, beside true ones of the same rows.

Mel cepstral distortion: Kubichek: Mel-cepstral distance measure for objective speech quality assessment, 1993; along the best alignment of
both, as in Weiss et al.: Wave-Tacotron, 2021 (https://arxiv.org/abs/2011.03568), appendix C.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from dapeng.columns.log_mel import log_mel
from dapeng.core.kinds import metrics
from dapeng.metrics.base import Drawn, Metric, View, ratio
from dapeng.metrics.transcripts import edits
from dapeng.tokens.plain_words import words

BANDS = 40
CEPSTRA = 13
"""Coefficients that are compared; the first one, loudness, is not among them."""
DECIBEL = 10.0 * np.sqrt(2.0) / np.log(10.0)
MOST_COMPARED = 1000
"""Rows whose spectra are compared."""


class SoundView(View):
    """16-bit samples that were made beside the true ones: lists of (T,).

    asked: what a judge should hear in each. heard, real: what it hears in those that were made and in the true ones; empty without a judge.
    """

    task: ClassVar[str] = "audio"

    def __init__(
        self,
        said: list[np.ndarray],
        wanted: list[np.ndarray],
        rate: int,
        made: bool,
        asked: Sequence[str] = (),
        heard: Sequence[str] = (),
        real: Sequence[str] = (),
    ):
        self.said, self.wanted, self.rate, self.made = said, wanted, rate, made
        self.asked, self.heard, self.real = asked, heard, real

    @property
    def rows(self) -> int:
        return len(self.wanted)

    def take(self, rows: np.ndarray) -> SoundView:
        parts: list[list[str]] = [
            [str(p[i]) for i in rows] if len(p) else [] for p in (self.asked, self.heard, self.real)
        ]
        return SoundView([self.said[i] for i in rows], [self.wanted[i] for i in rows], self.rate, self.made, *parts)

    def same(self, other: View) -> bool:
        return isinstance(other, SoundView) and all(np.array_equal(a, b) for a, b in zip(self.said, other.said))

    @cached_property
    def distortions(self) -> np.ndarray:
        """(N,) decibel; nan of rows that are not looked at."""
        out = np.full(self.rows, np.nan)
        for i in np.unique(np.linspace(0, self.rows - 1, min(self.rows, MOST_COMPARED)).astype(int)):
            out[i] = distortion(cepstra(self.said[i], self.rate), cepstra(self.wanted[i], self.rate))
        return out

    @cached_property
    def seconds(self) -> np.ndarray:
        """(N, 2) how long both last."""
        return (
            np.array([[len(a), len(b)] for a, b in zip(self.said, self.wanted)], np.float64).reshape(-1, 2) / self.rate
        )


def cepstra(samples: np.ndarray, rate: int) -> np.ndarray:
    """(F, 12) the shape of the spectrum over time, from log-mel bands in nats of amplitude."""
    from dapeng.nn.mel import dct  # and torch with it

    x = log_mel(samples if len(samples) else np.zeros(1, np.int16), rate, BANDS) / 2
    return x @ dct(BANDS, CEPSTRA)[:, 1:] * np.sqrt(2 / BANDS)


def distortion(said: np.ndarray, wanted: np.ndarray) -> float:
    """Decibel a frame, along the alignment of both (dynamic time warping) whose sum is least."""
    apart = np.sqrt(((said[:, None] - wanted[None]) ** 2).sum(2))
    total, steps = _warped(apart)
    return float(DECIBEL * total / steps)


def _warped(apart: np.ndarray) -> tuple[float, int]:
    """The least sum of a path through distances (F, G) from corner to corner, and its steps."""
    rows, columns = apart.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    steps = np.zeros((rows + 1, columns + 1), np.int64)
    total[0, 0] = 0.0
    for number in range(2, rows + columns + 1):  # of one diagonal no cell depends on another
        i = np.arange(max(1, number - columns), min(rows, number - 1) + 1)
        j = number - i
        before = np.stack([total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]])
        best = before.argmin(0)
        total[i, j] = before[best, np.arange(len(i))] + apart[i - 1, j - 1]
        steps[i, j] = np.stack([steps[i - 1, j - 1], steps[i - 1, j], steps[i, j - 1]])[best, np.arange(len(i))] + 1
    return float(total[rows, columns]), int(steps[rows, columns])


def heard_errors(asked: Sequence[str], heard: Sequence[str]) -> np.ndarray:
    """(N, 2) words that were heard otherwise, and words that were asked for; without regard to case and signs."""
    pairs = [(words(a.lower()), words(h.lower())) for a, h in zip(asked, heard)]
    return np.array([[sum(edits(a, h)), len(a)] for a, h in pairs], np.float64).reshape(-1, 2)


class _Sounds(Metric):
    fits: ClassVar[tuple[str, ...]] = ("audio",)
    higher_is_better: ClassVar[bool] = False
    in_units: ClassVar[bool] = True

    def applies(self, view: View) -> bool:
        return isinstance(view, SoundView) and view.made

    def each(self, view: Any) -> np.ndarray:
        """(N,) of each row; nan where it isn't known."""
        raise NotImplementedError

    def values(self, drawn: Drawn) -> np.ndarray:
        each = self.each(drawn.view)
        known = ~np.isnan(each)
        return ratio(drawn.counts @ np.where(known, each, 0.0), drawn.counts @ known.astype(np.float64))


@metrics
class MelDistortion(_Sounds):
    """Distance of the spectra's shapes, in decibel a frame, along the best alignment of what was made and what was said in truth."""

    type: Literal["mel_distortion"] = "mel_distortion"
    title: ClassVar[str] = "Mel cepstral distortion (dB)"

    def each(self, view: Any) -> np.ndarray:
        return view.distortions


@metrics
class SecondsOff(_Sounds):
    """How many seconds longer or shorter it is than the true sound, in the mean."""

    type: Literal["seconds_off"] = "seconds_off"
    title: ClassVar[str] = "Seconds off"

    def each(self, view: Any) -> np.ndarray:
        return np.abs(view.seconds[:, 0] - view.seconds[:, 1])


class _Heard(Metric):
    fits: ClassVar[tuple[str, ...]] = ("audio",)

    def applies(self, view: View) -> bool:
        return isinstance(view, SoundView) and bool(len(view.heard))


@metrics
class Understood(_Heard):
    """Share of the sounds in which the judge hears exactly what was asked for, without regard to case and signs."""

    type: Literal["understood"] = "understood"
    title: ClassVar[str] = "Understood"
    share: ClassVar[bool] = True

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, SoundView)
        return drawn.mean((heard_errors(drawn.view.asked, drawn.view.heard)[:, 0] == 0).astype(np.float64))


@metrics
class WordsMisheard(_Heard):
    """Words that the judge hears otherwise than they were asked for (put in, left out, exchanged), as a share of these: its WER."""

    type: Literal["misheard"] = "misheard"
    title: ClassVar[str] = "Judge's word error rate"
    higher_is_better: ClassVar[bool] = False

    def values(self, drawn: Drawn) -> np.ndarray:
        assert isinstance(drawn.view, SoundView)
        wrong, every = heard_errors(drawn.view.asked, drawn.view.heard).T
        return ratio(drawn.counts @ wrong, drawn.counts @ every)
