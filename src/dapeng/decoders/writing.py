"""What every decoder of texts shares: the loss of a text that is known, and the writing of one that isn't."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from dapeng.core.errors import Problem, SpecError
from dapeng.core.kinds import DecoderOptions
from dapeng.data.batch import Cells
from dapeng.decoders.base import Decoder
from dapeng.generate.beams import beam_search
from dapeng.generate.sampling import Sampling
from dapeng.generate.writing import Steps, Writing, stream
from dapeng.nn.causal import Shape
from dapeng.nn.features import Features, Widths
from dapeng.nn.lora import is_adapter
from dapeng.nn.writer import Writer

WRITTEN_AT_ONCE = 2**17
"""Tokens that texts which are written side by side may come to hold, all their beams counted."""
AT_ONCE = 16_384
"""Tokens of windows that are read at once where a long text is judged."""


class TooLong(ValueError):
    """More tokens than a stack has positions for."""

    def __init__(self, tokens: int, positions: int):
        super().__init__(f"{tokens} tokens at a time, but the decoder has {positions} positions")
        self.tokens, self.positions = tokens, positions

    def __reduce__(self):
        return type(self), (self.tokens, self.positions)


class WritingOptions(DecoderOptions):
    """Options of a decoder that writes token by token, and reads what the inputs say, if there are any."""

    fits: ClassVar[tuple[str, ...]] = ("text",)
    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    alone: ClassVar[bool] = True
    embed_dim: int = Field(256, ge=2, le=65_536)
    """Width of a token's vector."""
    dropout: float = Field(0.1, ge=0, lt=1)
    beams: int = Field(1, ge=1, le=64)
    """Texts that are followed at once; the likeliest is taken. 1: the likeliest token always."""
    length_penalty: float = Field(1.0, ge=0, le=10)
    """The power of a text's length by which its log-probability is divided, where several are followed."""

    def advice(self, rows: int) -> dict[str, Any]:
        return {"learning_rate": 1e-3, "batch_size": 32 if rows < 50_000 else 64}

    def writer(self, cross: int | None, longest: int, table: Callable[[int], nn.Embedding]) -> nn.Module:
        """What writes, with all that `Writer` has, over inputs of this width, texts of so many tokens. table: of tokens, by its width.

        Raises: TooLong where there are fewer positions.
        """
        raise NotImplementedError

    def build(self, column: Any, widths: Widths | None, tables: Any, loss: Any) -> WritingDecoder:
        if column.chat and widths is not None:
            what = "a conversation holds what was asked itself: it has no inputs beside it"
            raise SpecError(Problem(f"outputs.{column.name}.chat", what, "inputs: {}, or leave chat out"))
        longest = column.window if widths is None else column.max_length + 1
        try:
            writer = self.writer(
                None if widths is None else widths.tokens, longest, partial(tables.get, column.domain, column.size)
            )
        except TooLong as error:
            most = error.positions - (0 if widths is None else 1)
            raise SpecError(Problem(f"outputs.{column.name}.max_length", str(error), f"max_length={most}")) from None
        return WritingDecoder(writer, column, loss.build(column), self)


class BlockOptions(WritingOptions):
    """Options of a decoder that writes by a stack of blocks, each of which looks at the inputs by cross-attention."""

    tiny: ClassVar[dict[str, Any]] = {"embed_dim": 16, "num_layers": 1, "num_heads": 2, "dropout": 0.0}
    num_layers: int = Field(4, ge=1, le=1000)
    """Blocks, one on the other."""
    num_heads: int = Field(4, ge=1, le=1024)
    """Attention heads of a block; divides embed_dim."""
    attention_dropout: float | Literal["auto"] = Field("auto", ge=0, lt=1)
    """Of what tokens see of each other, dear on a processor. auto: as dropout."""

    @property
    def in_attention(self) -> float:
        return self.dropout if self.attention_dropout == "auto" else self.attention_dropout

    def shape(self, cross: int | None, longest: int) -> Shape:
        """The stack, over inputs of this width, for texts of so many tokens."""
        raise NotImplementedError

    def tied(self) -> bool:
        """Whether the table of tokens is the head too."""
        return True

    def biased(self) -> bool:
        """Whether the head has a bias."""
        return False

    def writer(self, cross: int | None, longest: int, table: Callable[[int], nn.Embedding]) -> nn.Module:
        shape = self.shape(cross, longest)
        return Writer(shape, table(shape.width), self.tied(), self.biased())


class WritingDecoder(Decoder):
    """Target: ids (B, T) from begin to end, with their mask. Elements are tokens, the end counted, the begin not.

    writer: a `Writer`, or what has its losses, start, step, matrix, table, head, and a shape with `cross`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    sees_target: ClassVar[bool] = True
    searches: ClassVar[bool] = True
    takes: ClassVar[frozenset[str]] = frozenset({"settings", "beams", "length_penalty"})

    def __init__(self, writer: Any, column: Any, smoothing: float, options: WritingOptions):
        super().__init__()
        self.writer, self.smoothing = writer, smoothing
        self.codec = column.codec
        self.bos, self.eos, self.longest = column.codec.bos, column.codec.eos, column.max_length
        self.unwritten: tuple[int, ...] = column.codec.unwritten
        self.window, self.alone = column.window, writer.shape.cross is None
        self.beams, self.length_penalty = options.beams, options.length_penalty
        self._rate = 1.0
        self.whole = False
        """Whether public weights say too how inputs are looked at."""

    def work(self, window: int) -> float:
        """FLOPs of a token in training: six for each weight that it is multiplied with, and attention over a window.

        As Chowdhery et al., 2022 (https://arxiv.org/abs/2204.02311, appendix B) count for model FLOPs utilisation (MFU).
        """
        shape: Any = self.writer.shape
        weights = self.writer.matrix.numel() + sum(p.numel() for p in self.writer.stack.parameters())
        if getattr(shape, "experts", 0):  # a token is read by some of them
            one = sum(p.numel() for p in self.writer.stack.blocks[0].mlp.experts[0].parameters())
            weights -= shape.layers * (shape.experts - shape.active) * one
        attention = 12.0 * shape.layers * shape.heads * shape.head_width * window if hasattr(shape, "heads") else 0.0
        return 6.0 * weights + attention

    def writing(self, codec: Any, steps: Steps | None = None) -> Writing:
        """An empty batch of texts that go on from nothing or from prompts. steps: what works them out; None: the network as it is."""
        device = self.writer.matrix.device
        return Writing(self.writer if steps is None else steps, codec, device=device, window=self.window)

    def last(self) -> Iterator[nn.Parameter]:
        if self.writer.head is not None:
            yield from self.writer.head.parameters()
        if self.writer.head_bias is not None:
            yield self.writer.head_bias

    def public_parameters(self) -> dict[str, nn.Parameter]:
        """What public weights fill, by the names of `Causal`: table, stack and head, but no adapters, nor what looks at inputs if not `whole`."""
        known = {n: p for n, p in self.writer.stack.named_parameters() if not is_adapter(n)}
        stack = {n: p for n, p in known.items() if self.whole or not of_inputs(n)}
        table: Any = self.writer.table.module.weight
        head: dict[str, Any] = {} if self.writer.head is None else {"head": self.writer.head.weight}
        head |= {} if self.writer.head_bias is None else {"head_bias": self.writer.head_bias}
        return {**stack, "table": table, **head}

    def slow(self, factor: float) -> None:
        """Train what public weights fill at this share of the learning rate."""
        self._rate = factor

    def rates(self) -> Iterator[tuple[nn.Parameter, float]]:
        """Parameters that learn at a share of the run's rate."""
        if self._rate != 1.0:
            yield from ((p, self._rate) for p in self.public_parameters().values())

    def count(self, target: Cells) -> Tensor | int:
        counted = self._counted(target)
        return counted[:, 1 : None if self.alone else self.longest + 1].sum(1).float()

    def _counted(self, target: Cells) -> Tensor:
        mask = target["mask"]
        mask = mask & target["taught"] if "taught" in target else mask  # of a conversation the answers alone
        return mask if target.present is None else mask & target.present[:, None]

    def _nats(self, features: Features | None, target: Cells, smoothing: float) -> Tensor:
        """(B,) of the tokens of a text that count."""
        said, mask = (None, None) if features is None else (features.tokens, features.mask)
        ids, counted = target["ids"].long(), self._counted(target)
        if said is not None:  # beside inputs, the beginning of a text is learnt, and an end only where it comes in time
            ids, counted = ids[:, : self.longest + 1], counted[:, : self.longest + 1]
        elif ids.shape[1] > self.window + 1:
            return self._by_windows(ids, counted, smoothing)
        documents = target.tensors.get("documents")
        return self.writer.losses(ids, counted, documents, said, mask, smoothing).sum(1)

    def _by_windows(self, ids: Tensor, counted: Tensor, smoothing: float) -> Tensor:
        """(B,) nats of texts longer than a window (B, T), as they would be written: each token behind half a window at least.

        Windows overlap; a token counts in the first that it lies in.
        """
        size = self.window
        half = max(1, size // 2)
        spare = -(ids.shape[1] - 1 - size) % half
        ids, counted = (F.pad(t, (0, spare)).unfold(1, size + 1, half) for t in (ids, counted))
        counted = counted.clone()
        counted[:, 1:, : size + 1 - half] = False
        row, place = counted[:, :, 1:].any(2).nonzero(as_tuple=True)
        nats = ids.new_zeros(len(ids), dtype=torch.float32)
        for some in torch.arange(len(row), device=ids.device).split(max(1, AT_ONCE // size)):
            r, p = row[some], place[some]
            nats = nats.index_add(
                0, r, self.writer.losses(ids[r, p], counted[r, p], smoothing=smoothing).sum(1).float()
            )
        return nats

    def loss(self, features: Features | None, target: Cells) -> Tensor:
        return self._nats(features, target, self.smoothing if self.training else 0.0)

    def score(self, features: Features | None, target: Cells) -> Tensor:
        """(B,) log-likelihood of a given text."""
        return -self._nats(features, target, 0.0)

    def predict(
        self,
        features: Features | None,
        size: int,
        target: Cells | None = None,
        settings: Sampling | None = None,
        beams: int | None = None,
        length_penalty: float | None = None,
        **options: Any,
    ) -> dict[str, Tensor]:
        """settings: how tokens are drawn, one text a row; None: the likeliest text that so many beams find."""
        found = self.known(features, target, size)
        if features is None or features.tokens is None:  # without inputs every row would be told the same
            return found
        rows = features.tokens.shape[0]
        found["ids"] = torch.zeros(rows, self.longest, dtype=torch.int32)
        said, mask = features.tokens, features.mask
        penalty = self.length_penalty if length_penalty is None else length_penalty
        best = partial(self._likeliest, beams=beams or self.beams, penalty=penalty)
        written = best(said, mask) if settings is None else self._drawn(said, mask, settings)
        for row, ids in enumerate(written):
            found["ids"][row, : len(ids)] = torch.tensor(ids, dtype=torch.int32)
            if len(ids) < self.longest:
                found["ids"][row, len(ids)] = self.eos
        return found

    def _likeliest(self, said: Tensor, mask: Tensor | None, beams: int, penalty: float) -> Iterator[list[int]]:
        """The best text for each row of (B, S, C), some rows after the other."""
        some = max(1, WRITTEN_AT_ONCE // (beams * self.longest))
        how = (self.eos, beams, self.longest, penalty, self.unwritten)
        for start in range(0, len(said), some):
            part, real = said[start : start + some], None if mask is None else mask[start : start + some]
            begin = torch.full((len(part), 1), self.bos, dtype=torch.int64, device=said.device)
            found = beam_search(self.writer, begin, *how, said=part, mask=real)
            yield from (texts[0].ids if texts else [] for texts in found)

    def _drawn(self, said: Tensor, mask: Tensor | None, settings: Sampling) -> list[list[int]]:
        """A text for each row, token by token as the settings say, many rows at once."""
        settings = replace(settings, max_tokens=min(settings.max_tokens, self.longest))
        writing, first = Writing(self.writer, self.codec, device=said.device), len(said)
        for row in range(first):
            real = {} if mask is None else {"mask": mask[row : row + 1]}
            writing.add([self.bos], settings, said=said[row : row + 1], **real)
        ids: list[list[int]] = [[] for _ in range(first)]
        texts = [""] * first
        for piece in stream(writing):
            texts[piece.request - 1] += piece.text
            ids[piece.request - 1] += [] if piece.token is None else [piece.token]
        if settings.stop:  # a stop text, or a part of one, is among the tokens, but not in the text
            ids = [self.codec.encode([text])[0].tolist()[: self.longest] for text in texts]
        return ids

    def known(self, features: Features | None, target: Cells | None, size: int) -> dict[str, Tensor]:
        """How likely a text is that is given, and nothing written."""
        ids = torch.zeros(size, 1, dtype=torch.int32)
        if target is None:
            return {"ids": ids, "nats": torch.zeros(size), "tokens": torch.zeros(size)}
        tokens: Any = self.count(target)
        return {"ids": ids, "nats": -self.score(features, target).float(), "tokens": tokens}

    def judged(self, features: Features | None, target: Cells, size: int) -> tuple[Tensor, dict[str, Tensor]]:
        found = self.known(features, target, size)
        return found["nats"], found


def of_inputs(name: str) -> bool:
    """Whether a tensor of the stack is of what looks at inputs."""
    return not {"cross", "norm_cross"}.isdisjoint(name.split("."))
