"""Many texts at once: requests join a running batch when they come, and leave it when they are done.

Yu et al.: Orca, 2022. Each row has its own settings and its own draws, so that a text doesn't depend on what else is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from dapeng.core.errors import RunError
from dapeng.generate.constraints import Kept, kept
from dapeng.generate.sampling import Sampling, chosen
from dapeng.generate.texts import Decodes, Growing

MOST_ROWS = 64


class Steps(Protocol):
    """What writes. A state is one of several rows; `take` and `joined` move rows between states.

    For beams `spread(n)` gives every row n times, one behind the other; from then on `take` moves texts within their row, or leaves rows out.
    """

    @property
    def start(self) -> Callable[..., Any]:
        """(rows, room, **inputs) -> a state."""
        ...

    def step(self, ids: Tensor, state: Any, lengths: Tensor | None = None) -> Tensor: ...


@dataclass
class Piece:
    """What a step added to a text. token: None where the end came. logprob: of the token. end: why nothing follows, if so."""

    request: int
    text: str
    token: int | None
    logprob: float
    end: Literal["stop", "length"] | None = None


@dataclass
class Request:
    """A text that is being written. prompt: its tokens so far, not empty. inputs: what `start` takes of this row, (1, ...).

    kept: what its settings keep it to; None where it is free.
    """

    number: int
    prompt: list[int]
    settings: Sampling
    growing: Growing
    inputs: dict[str, Tensor] = field(default_factory=dict)
    held: int = 0
    """Tokens of it that the state holds."""
    kept: Kept | None = None

    @property
    def written(self) -> list[int]:
        return self.growing.ids


class Writing:
    """The texts that are being written. longest: tokens of a text with its prompt, at most. device: where the model lies.

    window: tokens that the model looks at, at most; a text that outgrows it is read anew from the last half of them on.
    """

    def __init__(
        self,
        model: Steps,
        codec: Decodes,
        longest: int | None = None,
        most_rows: int = MOST_ROWS,
        device: torch.device | str = "cpu",
        window: int | None = None,
    ):
        self.device, self.window = device, window
        self.model, self.codec, self.longest, self.most_rows = model, codec, longest, most_rows
        self.waiting: list[Request] = []
        self.running: list[Request] = []
        self.state: Any = None
        self.logits: Tensor | None = None
        self._number = 0

    def add(self, prompt: Sequence[int], settings: Sampling, **inputs: Tensor) -> int:
        """Ask for a text; the number that its pieces will bear.

        Raises ValueError for a prompt that leaves no room, RunError for settings that no text of this tokeniser is kept to.
        """
        if not prompt:
            raise ValueError("a prompt has at least one token (begin, if nothing else)")
        if self.longest is not None and len(prompt) >= self.longest:
            raise ValueError(
                f"the prompt has {len(prompt):,} tokens, and with the answer there is room for {self.longest:,}"
            )
        within = kept(self.codec, settings)
        self._number += 1
        growing = Growing(self.codec, settings.stop)
        self.waiting.append(Request(self._number, list(prompt), settings, growing, dict(inputs), kept=within))
        return self._number

    def drop(self, number: int) -> None:
        """Forget a text: whoever asked for it has gone."""
        self.waiting = [r for r in self.waiting if r.number != number]
        self._keep([i for i, r in enumerate(self.running) if r.number != number])

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.running)

    @torch.inference_mode()
    def step(self) -> list[Piece]:
        """One more token for every running text, after those that wait have joined.

        Raises RunError where nothing that may be written fits what a text is kept to; that one is dropped, the others can go on.
        """
        self._join()
        if not self.running or self.logits is None:
            return []
        allowed = [self._allowed(r) for r in self.running]
        settings = [r.settings for r in self.running]
        so_far = [r.prompt + r.written for r in self.running]
        places = [len(r.written) for r in self.running]
        tokens, logprobs = chosen(self.logits, settings, so_far, places, self.codec.unwritten, allowed)
        pieces = [self._grown(r, t, p) for r, t, p in zip(self.running, tokens.tolist(), logprobs.tolist())]
        going = [i for i, piece in enumerate(pieces) if piece.end is None]
        self._keep(going)
        tokens = tokens[going]
        outgrown = [r for r in self.running if self.window is not None and r.held >= self.window]
        if outgrown:
            fit = [i for i, r in enumerate(self.running) if r.held < (self.window or 0)]
            self._keep(fit)
            tokens = tokens[fit]
        if self.running:
            self.logits = self.model.step(tokens[:, None], self.state)
            for request in self.running:
                request.held += 1
        self._read(outgrown)
        return pieces

    def _allowed(self, request: Request) -> Tensor | None:
        try:
            return request.kept.allowed() if request.kept else None
        except RunError:
            self.drop(request.number)
            raise

    def _grown(self, request: Request, token: int, logprob: float) -> Piece:
        if token == self.codec.eos:
            return Piece(request.number, request.growing.close(), None, logprob, "stop")
        text = request.growing.add(token)
        if request.kept:
            request.kept.take(token)
            if request.kept.complete:
                return Piece(request.number, text + request.growing.close(), token, logprob, "stop")
        if request.growing.ended:
            return Piece(request.number, text, token, logprob, "stop")
        full = self.longest is not None and len(request.prompt) + len(request.written) >= self.longest
        if full or len(request.written) >= request.settings.max_tokens:
            return Piece(request.number, text + request.growing.close(), token, logprob, "length")
        return Piece(request.number, text, token, logprob)

    def _join(self) -> None:
        new = self.waiting[: max(0, self.most_rows - len(self.running))]
        if not new:
            return
        self.waiting = self.waiting[len(new) :]
        self._read(new)

    def _read(self, requests: list[Request]) -> None:
        """Let these run: read what there is of their texts, or the last half of a window of it."""
        # prompts with inputs of other sizes are read one by one
        for group in (
            ([requests] if requests else []) if not any(r.inputs for r in requests) else [[r] for r in requests]
        ):
            texts = [self._seen(r.prompt + r.written) for r in group]
            for request, text in zip(group, texts):
                request.held = len(text)
            lengths = torch.tensor([len(t) for t in texts], device=self.device)
            ids = torch.zeros(len(group), int(lengths.max()), dtype=torch.int64, device=self.device)
            for row, text in enumerate(texts):
                ids[row, : len(text)] = torch.tensor(text, device=self.device)
            room = int(lengths.max()) + min(max(r.settings.max_tokens for r in group), self.window or 128, 128)
            state = self.model.start(len(group), room, **group[0].inputs)
            logits = self.model.step(ids, state, lengths)
            self.state = state if self.state is None else self.state.joined(state)
            self.logits = logits if self.logits is None else torch.cat([self.logits, logits])
            self.running += group

    def _seen(self, ids: list[int]) -> list[int]:
        return ids if self.window is None or len(ids) <= self.window else ids[-max(1, self.window // 2) :]

    def _keep(self, rows: list[int]) -> None:
        if len(rows) == len(self.running):
            return
        self.running = [self.running[i] for i in rows]
        index = torch.tensor(rows, dtype=torch.int64, device=self.device)
        self.state = self.state.take(index) if rows else None
        self.logits = self.logits[index] if rows and self.logits is not None else None


def write(
    model: Steps, codec: Decodes, prompts: Sequence[Sequence[int]], settings: Sampling, longest: int | None = None
) -> list[str]:
    """A text for each prompt, in their order."""
    writing = Writing(model, codec, longest)
    numbers = [writing.add(p, settings) for p in prompts]
    texts = dict.fromkeys(numbers, "")
    for piece in stream(writing):
        texts[piece.request] += piece.text
    return [texts[n] for n in numbers]


def stream(writing: Writing) -> Iterator[Piece]:
    """The pieces of all texts as they come, until none is left."""
    while writing.busy:
        yield from writing.step()
