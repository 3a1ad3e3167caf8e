"""Texts token by token by llama.cpp's library: rows are its sequences, and their keys and values lie in its context.

A context has room for so many sequences of so many tokens; where more are wanted, a larger one reads anew what is held (what
llama.cpp can save of a sequence fits into contexts for as many sequences alone).
Legend: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dapeng.core.errors import RunError

AT_ONCE = 512
"""Tokens that are read at a time."""
ROOM = 256
"""Tokens of a sequence's room, which grows by doubling."""
KEPT = 8_192
"""Tokens of room that are kept while nothing is written."""


def bindings() -> Any:
    """llama.cpp's C functions, silent. Raises ImportError."""
    import llama_cpp  # pyright: ignore[reportMissingImports]

    llama_cpp.llama_log_set(_SILENT, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return llama_cpp


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _SILENT(level: int, text: bytes, data: Any) -> None:
    """What it tells of itself is not for users."""


def _tiled(library: Any) -> bool:
    """Whether it would multiply small integers in AMX tiles: its weights laid out for them end the process (0.3.36), whatever their size."""
    return b"AMX_INT8 = 1" in library.llama_print_system_info()


class Held:
    """Rows of a running batch, as `Writing` takes and joins them: the numbers of their sequences."""

    def __init__(self, steps: LlamaSteps, rows: list[int]):
        self.steps, self.rows = steps, rows

    def take(self, index: Tensor) -> Held:
        """These rows alone, each as often as it is named; what is left out is forgotten."""
        wanted = [self.rows[i] for i in index.tolist()]
        for row in set(self.rows) - set(wanted):
            self.steps.forget(row)
        kept: list[int] = []
        for row in wanted:
            kept.append(self.steps.copied(row) if row in kept else row)
        self.rows = []
        return Held(self.steps, kept)

    def joined(self, other: Held) -> Held:
        found = Held(self.steps, self.rows + other.rows)
        self.rows, other.rows = [], []
        return found

    def __del__(self) -> None:
        self.steps.left += self.rows  # this may be called in the middle of a step of another thread


class Batch:
    """Tokens for one call, at most AT_ONCE of them, in arrays that llama.cpp reads in place."""

    def __init__(self, library: Any):
        self.token, self.place, self.owner = (np.zeros(AT_ONCE, np.int32) for _ in range(3))
        self.owners, self.asked = np.ones(AT_ONCE, np.int32), np.zeros(AT_ONCE, np.int8)
        each = self.owner.ctypes.data + self.owner.itemsize * np.arange(AT_ONCE)
        self.owner_of = each.astype(np.uintp)
        arrays = {
            "token": self.token,
            "pos": self.place,
            "n_seq_id": self.owners,
            "seq_id": self.owner_of,
            "logits": self.asked,
        }
        kinds = dict(library.llama_batch._fields_)
        self.struct = library.llama_batch(**{n: ctypes.cast(a.ctypes.data, kinds[n]) for n, a in arrays.items()})

    def fill(self, token: np.ndarray, place: np.ndarray, owner: np.ndarray, asked: np.ndarray) -> Any:
        """What llama.cpp takes. place: of a token in its sequence. owner: that sequence. asked: whose logits are wanted."""
        count = self.struct.n_tokens = len(token)
        self.token[:count], self.place[:count], self.owner[:count], self.asked[:count] = token, place, owner, 0
        self.asked[asked] = 1
        return self.struct


class LlamaSteps:
    """The `Steps` of a GGUF file, for one thread at a time: others wait. threads: that work on one token.

    Raises RunError where llama.cpp can't load the file.
    """

    def __init__(self, path: Path, threads: int):
        self.library, self._threads = bindings(), threads
        options = self.library.llama_model_default_params()
        options.load_mode = self.library.LLAMA_LOAD_MODE_NONE  # read whole, so that the file can go
        options.use_extra_bufts = not _tiled(self.library)
        self._own: dict[str, Any] = {"model": self.library.llama_model_load_from_file(str(path).encode(), options)}
        if not self._own["model"]:
            raise RunError("llama.cpp could not load the model that was written for it", hint="--engine native")
        weakref.finalize(self, _close, self.library, self._own)
        self._size = self.library.llama_vocab_n_tokens(self.library.llama_model_get_vocab(self._own["model"]))
        self._rows, self._room = 0, 0
        self._held: dict[int, list[int]] = {}
        """Tokens of each sequence, by its number."""
        self.left: list[int] = []
        """Sequences that nobody holds any more, to be forgotten with the next call."""
        self.batch = Batch(self.library)
        self._lock = threading.RLock()

    def start(self, rows: int, room: int, **inputs: Any) -> Held:
        """Empty rows, with room for so many tokens each to begin with."""
        if inputs:
            raise ValueError("llama.cpp looks at no inputs")
        with self._lock:
            self._forget_left()
            self._make_room(len(self._held) + rows, room)
            numbers = [n for n in range(self._rows) if n not in self._held][:rows]
            self._held |= {n: [] for n in numbers}
            return Held(self, numbers)

    def step(self, ids: Tensor, state: Held, lengths: Tensor | None = None) -> Tensor:
        """(B, T) -> (B, V) fp32 logits of the token behind the last of each row; lengths: (B,) where rows are shorter."""
        counts = [ids.shape[1]] * len(state.rows) if lengths is None else lengths.tolist()
        if not counts or min(counts) < 1:
            raise ValueError("a step is of one row at least, and of one token of each")
        new = {r: row[:n] for r, row, n in zip(state.rows, ids.tolist(), counts)}
        with self._lock:
            self._forget_left()
            self._make_room(0, max(len(self._held[r]) + len(tokens) for r, tokens in new.items()))
            return self._read(new)

    def _read(self, new: dict[int, list[int]]) -> Tensor:
        """Further tokens of sequences -> (sequences, V)."""
        counts = [len(t) for t in new.values()]
        tokens = np.concatenate([np.asarray(t, np.int32) for t in new.values()])
        owners = np.repeat(list(new), counts)
        places = np.concatenate([np.arange(len(t)) + len(self._held[r]) for r, t in new.items()])
        ends = np.cumsum(counts) - 1
        out, done = torch.empty(len(counts), self._size), 0
        for start in range(0, len(tokens), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            asked = ends[(ends >= start) & (ends < start + AT_ONCE)] - start
            self._decode(tokens[part], places[part], owners[part], asked)
            if len(asked):
                logits = np.ctypeslib.as_array(self.library.llama_get_logits(self.context), (len(asked), self._size))
                out[done : done + len(asked)] = torch.from_numpy(logits)
                done += len(asked)
        for row, some in new.items():
            self._held[row] += some
        return out

    def _decode(self, *tokens: np.ndarray) -> None:
        if self.library.llama_decode(self.context, self.batch.fill(*tokens)):
            raise RunError("llama.cpp could not work out a step", hint="--engine native")

    def forget(self, row: int) -> None:
        """A sequence is done with."""
        with self._lock:
            if self._held.pop(row, None):
                self.library.llama_memory_seq_rm(self._memory, row, -1, -1)

    def _forget_left(self) -> None:
        while self.left:
            self.forget(self.left.pop())
        if not self._held and self._rows * self._room > KEPT:  # a large batch was the last: its memory is not kept
            _close(self.library, self._own, ("context",))
            self._rows = self._room = 0

    def copied(self, row: int) -> int:
        """Another sequence that holds the same."""
        with self._lock:
            (number,) = (held := self.start(1, self._room)).rows
            held.rows = []
            self.library.llama_memory_seq_cp(self._memory, row, number, -1, -1)
            self._held[number] = list(self._held[row])
            return number

    def _make_room(self, rows: int, room: int) -> None:
        """A context for so many rows of so many tokens, with all that is held."""
        if rows <= self._rows and room <= self._room:
            return
        most = int(self.library.llama_max_parallel_sequences())
        if rows > most:
            raise RunError(f"llama.cpp writes {most} texts at once, not {rows}", hint="--engine native")
        rows = min(most, max(self._rows, 1 << (max(rows, 1) - 1).bit_length()))
        room = max(self._room, ROOM << max(0, (-(-room // ROOM) - 1).bit_length()))
        larger = self._opened(rows, room)  # where there is no memory, the old one stays
        _close(self.library, self._own, ("context",))
        self._own["context"], self._rows, self._room = larger, rows, room
        kept = {n: tokens for n, tokens in self._held.items() if tokens}
        self._held |= {n: [] for n in kept}
        if kept:
            self._read(kept)

    def _opened(self, rows: int, room: int) -> Any:
        options = self.library.llama_context_default_params()
        options.n_ctx, options.n_seq_max = rows * room, rows
        options.n_batch = options.n_ubatch = AT_ONCE
        options.n_threads = options.n_threads_batch = self._threads
        options.kv_unified = False  # a row looks at its own tokens alone
        options.no_perf = True
        found = self.library.llama_init_from_model(self._own["model"], options)
        if not found:
            what = f"llama.cpp found no memory for {rows} texts of {room:,} tokens"
            raise RunError(what, hint="--engine native, or fewer texts at once")
        return found

    @property
    def context(self) -> Any:
        """llama.cpp's, which another replaces where more room is wanted."""
        return self._own["context"]

    @property
    def _memory(self) -> Any:
        return self.library.llama_get_memory(self.context)


def _close(library: Any, own: dict[str, Any], names: tuple[str, ...] = ("context", "model")) -> None:
    """Give back what llama.cpp holds, what hangs on a model before it."""
    free = {"context": library.llama_free, "model": library.llama_model_free}
    for name in names:
        found = own.pop(name, None)
        if found:
            free[name](found)
