"""Texts out of the labels of single frames: the best path, and a search over prefixes with a language model.

Graves et al.: Connectionist Temporal Classification, 2006 (https://www.cs.toronto.edu/~graves/icml_2006.pdf): a label that stays is one
label, and a blank stands between two. Hannun et al.: First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
Recurrent DNNs, 2014 (https://arxiv.org/abs/1408.2873): the search.

Legend: B rows, T frames, V labels, L longest text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Following = Callable[[tuple[int, ...]], np.ndarray]
"""(V,) log-probabilities of what follows a text, of which some labels may be its end."""


def best_path(scores: Tensor, mask: Tensor, blank: int, end: int, longest: int) -> tuple[Tensor, Tensor]:
    """ids (B, L) of the likeliest label of each frame, and their frames (B, L, 2): the first, and the one behind the last.

    scores: (B, T, V). mask: (B, T) of real frames. Behind a text comes `end`, then blanks; tensors alone, for exports.
    """
    label = torch.where(mask, scores.argmax(2), blank)
    before = torch.cat([torch.full_like(label[:, :1], blank), label[:, :-1]], 1)
    begins = (label != blank) & (label != before)
    place = begins.long().cumsum(1) - 1  # of the label to which a frame belongs
    kept = torch.where(begins & (place < longest), place, longest)
    frame = torch.arange(label.shape[1], device=label.device).expand_as(label)
    wide = (label.shape[0], longest + 1)
    ids = torch.full(wide, blank, dtype=label.dtype, device=label.device).scatter(1, kept, label)
    first = torch.zeros(wide, dtype=label.dtype, device=label.device).scatter(1, kept, frame)
    stays = torch.where((label != blank) & (place < longest), place, longest)
    behind = torch.zeros_like(first).scatter_reduce(1, stays, frame + 1, "amax")
    at, count = torch.arange(longest, device=label.device), begins.sum(1, keepdim=True)
    ids = torch.where(at < count, ids[:, :longest], torch.where(at == count, end, blank))
    spans = torch.stack([first[:, :longest], behind[:, :longest]], 2)
    return ids.int(), torch.where((at < count)[..., None], spans, 0)


@dataclass
class Prefix:
    """A text that is followed. blank, label: log-probability of all paths to it that end in a blank, or in its last label.

    frames: first frame of each label on the likeliest of them. language: log-probability by the language model.
    """

    blank: float = -math.inf
    label: float = -math.inf
    language: float = 0.0
    frames: tuple[int, ...] = ()
    peak: float = field(default=-math.inf, repr=False)

    @property
    def total(self) -> float:
        return float(np.logaddexp(self.blank, self.label))


def prefix_search(
    scores: np.ndarray,
    blank: int,
    beams: int,
    following: Following | None = None,
    weight: float = 0.5,
    bonus: float = 0.0,
    end: int | None = None,
    least: float = math.log(1e-4),
    most: int = 20,
) -> tuple[tuple[int, ...], tuple[int, ...], float]:
    """The best text of one row, the first frame of each of its labels, and its log-probability by the frames alone.

    scores: (T, V) log-probabilities. following: a language model; `weight` times its log-probability, and `bonus` for each label,
    are added to a text's. end: the label by which the language model ends texts. Labels that are less likely than `least` in a frame, or
    no longer among the `most` likeliest, are not followed there.
    """

    def merit(text: tuple[int, ...], one: Prefix) -> float:
        return one.total + weight * one.language + bonus * len(text)

    live: dict[tuple[int, ...], Prefix] = {(): Prefix(blank=0.0)}
    for at, frame in enumerate(scores):
        some = np.argpartition(-frame, min(most, len(frame) - 1))[:most]
        labels = [int(v) for v in some if v != blank and frame[v] >= least]
        found: dict[tuple[int, ...], Prefix] = {}
        for text, one in live.items():
            stays = found.setdefault(text, Prefix(language=one.language, frames=one.frames))
            stays.frames = one.frames or stays.frames
            stays.blank = float(np.logaddexp(stays.blank, one.total + frame[blank]))
            if text:
                stays.label = float(np.logaddexp(stays.label, one.label + frame[text[-1]]))
            known = following(text) if following is not None and labels else None
            for label in labels:
                # a label that follows itself needs a blank between
                came = (one.blank if text and text[-1] == label else one.total) + float(frame[label])
                if came == -math.inf:
                    continue
                longer = (*text, label)
                next_ = found.setdefault(longer, Prefix())
                if came > next_.peak:
                    next_.peak, next_.frames = came, (*one.frames, at) if longer not in live else live[longer].frames
                next_.language = one.language + (0.0 if known is None else float(known[label]))
                next_.label = float(np.logaddexp(next_.label, came))
        ranked = sorted(found.items(), key=lambda i: (-merit(*i), i[0]))
        live = dict(ranked[:beams])
    if following is not None and end is not None:
        for text, one in live.items():
            one.language += float(following(text)[end])
    text, one = max(live.items(), key=lambda i: (merit(*i), [-t for t in i[0]]))
    return text, one.frames, one.total


def log_probability(scores: np.ndarray, text: Sequence[int], blank: int) -> float:
    """Log-probability of a text over all its paths, (T, V) -> a number; plain, for tests and for few rows."""
    states = [blank]
    for label in text:
        states += [label, blank]
    forward = np.full(len(states), -np.inf)
    forward[0] = 0.0
    for number, frame in enumerate(scores):
        before = forward if number else np.where(np.arange(len(states)) == 0, 0.0, -np.inf)
        moved = before.copy()
        if number:
            moved[1:] = np.logaddexp(moved[1:], before[:-1])
            for s in range(2, len(states)):
                if states[s] != blank and states[s] != states[s - 2]:
                    moved[s] = np.logaddexp(moved[s], before[s - 2])
        else:
            moved[1:2] = 0.0
        forward = moved + frame[states]
    return float(np.logaddexp(forward[-1], forward[-2] if len(states) > 1 else -np.inf))
