"""The recurrent writer against torch's GRU and LSTM and an attention written out row by row: logits, losses and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn import recurrent_writer
from dapeng.nn.recurrent_writer import RecurrentShape, RecurrentWriter

BOTH = pytest.mark.parametrize("kind", ["gru", "lstm"])
LENGTHS = [5, 2, 4]
"""Tokens of the inputs, by row."""


def writer(
    kind: Any, attention: Any = "additive", cross: int | None = 6, layers: int = 2, **more: Any
) -> RecurrentWriter:
    torch.manual_seed(0)
    shape = RecurrentShape(kind, 7, 10, layers, attention, cross=cross, **more)
    return RecurrentWriter(shape, nn.Embedding(23, 7).double()).double()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """ids (3, 8), what the inputs say (3, 5, 6), which of it is real (3, 5); what is not real is noise."""
    torch.manual_seed(1)
    mask = torch.arange(5)[None] < torch.tensor(LENGTHS)[:, None]
    return torch.randint(0, 23, (3, 8)), torch.randn(3, 5, 6, dtype=torch.float64), mask


def torchs(ours: RecurrentWriter) -> Any:
    """torch's own stack with the same weights, as copies that have gradients of their own."""
    s = ours.shape
    theirs = getattr(nn, s.kind.upper())(s.width, s.hidden, s.layers, batch_first=True).double()
    with torch.no_grad():
        for number, layer in enumerate(ours.stack.forwards):
            for name, parameter in layer.named_parameters():
                getattr(theirs, name.replace("l0", f"l{number}")).copy_(parameter)
    return theirs


def written_out(ours: RecurrentWriter, theirs: Any, p: dict[str, Tensor], ids: Tensor, said: Tensor | None) -> Tensor:
    """(T, V) logits of one row (T,) beside what its inputs say (S, C), with nothing batched, masked or padded."""
    s = ours.shape
    start = torch.zeros(s.states, s.layers, s.hidden, dtype=torch.float64)
    if said is not None:
        summary = torch.cat([said[0], said[-1], said.mean(0)])
        start = torch.tanh(p["first.layer.weight"] @ summary + p["first.layer.bias"]).view(s.states, s.layers, s.hidden)
    first = (start[0], start[1]) if s.kind == "lstm" else start[0]
    states = theirs(p["table"][ids], first)[0]
    logits = []
    for state in states:
        if said is not None and s.attention == "additive":
            fit = [
                p["attention.score.weight"][0]
                @ torch.tanh(p["attention.query.weight"] @ state + p["attention.keys.weight"] @ h)
                for h in said
            ]
        elif said is not None and s.attention == "multiplicative":
            fit = [state @ p["attention.keys.weight"] @ h for h in said]
        else:
            fit = []
        if fit and said is not None:
            state = torch.cat([state, torch.stack(fit).softmax(0) @ said])
        logits.append(p["table"] @ torch.tanh(p["out.weight"] @ state + p["out.bias"]))
    return torch.stack(logits)  # fmt: skip


def copies(ours: RecurrentWriter) -> dict[str, Tensor]:
    table: Any = ours.table.module.weight
    every = {**dict(ours.named_parameters()), "table": table}
    return {n: p.detach().clone().requires_grad_() for n, p in every.items()}


@BOTH
@pytest.mark.parametrize("attention", ["additive", "multiplicative", "none"])
def test_losses_and_gradients_are_those_of_torchs_layers_and_an_attention_written_out(
    kind: str, attention: str
) -> None:
    ours = writer(kind, attention)
    theirs, p = torchs(ours), copies(ours)
    ids, said, mask = inputs()
    counted = torch.rand(3, 8) > 0.2
    own, other = said.clone().requires_grad_(), said.clone().requires_grad_()
    found = ours.losses(ids, counted, said=own, mask=mask, smoothing=0.1)
    wanted = []
    for row, length in enumerate(LENGTHS):
        logits = written_out(ours, theirs, p, ids[row, :-1], other[row, :length])
        nats = F.cross_entropy(logits, ids[row, 1:], reduction="none", label_smoothing=0.1)
        wanted.append(torch.where(counted[row, 1:], nats, 0.0))
    torch.testing.assert_close(found, torch.stack(wanted).float(), rtol=1e-5, atol=1e-6)
    weights = torch.randn(3, 7)
    (found * weights).sum().backward()
    (torch.stack(wanted) * weights).sum().backward()
    torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-6)
    assert own.grad is not None
    assert (own.grad[~mask] == 0).all()
    table: Any = ours.table.module.weight
    torch.testing.assert_close(table.grad, p["table"].grad, rtol=1e-4, atol=1e-6)
    for number, layer in enumerate(ours.stack.forwards):
        for name, parameter in layer.named_parameters():
            torch.testing.assert_close(
                parameter.grad, getattr(theirs, name.replace("l0", f"l{number}")).grad, rtol=1e-4, atol=1e-6
            )
    rest = {n: q for n, q in ours.named_parameters() if not n.startswith("stack")}
    assert len(rest) >= 4
    for name, parameter in rest.items():
        torch.testing.assert_close(parameter.grad, p[name].grad, rtol=1e-4, atol=1e-6)  # fmt: skip


@BOTH
def test_steps_over_ragged_texts_give_the_logits_of_the_whole_text(kind: str) -> None:
    ours = writer(kind).eval()
    theirs, p = torchs(ours), copies(ours)
    ids, said, mask = inputs()
    lengths = torch.tensor([3, 6, 1])
    with torch.no_grad():
        state = ours.start(3, 8, said, mask)
        first = ours.step(ids[:, :6], state, lengths)
        more = ours.step(ids[:, 6:], state)
        for row, length in enumerate(LENGTHS):
            read = int(lengths[row])
            text = torch.cat([ids[row, :read], ids[row, 6:]])
            wanted = written_out(ours, theirs, p, text, said[row, :length])
            torch.testing.assert_close(first[row], wanted[read - 1].float())
            torch.testing.assert_close(more[row], wanted[-1].float())


@BOTH
def test_texts_laid_one_behind_the_other_begin_with_an_empty_state_each(kind: str) -> None:
    ours = writer(kind, cross=None)
    theirs, p = torchs(ours), copies(ours)
    ids, _, _ = inputs()
    documents = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2], [0, 1, 2, 2, 2, 2, 2, 2], [0, 0, 0, 0, 0, 0, 0, 0]])
    found = ours.losses(ids, torch.ones_like(ids, dtype=torch.bool), documents)
    wanted = torch.zeros(3, 7)
    for row in range(3):
        for text in documents[row, :-1].unique():
            at = (documents[row, :-1] == text).nonzero()[:, 0]
            logits = written_out(ours, theirs, p, ids[row, at], None)
            wanted[row, at] = F.cross_entropy(logits, ids[row, at + 1], reduction="none").float()
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    together = ours.losses(ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(together[2], found[2])
    assert not torch.allclose(together[0, 3:], found[0, 3:])
    found.sum().backward()
    wanted.sum().backward()
    mine: Any = ours.stack.forwards[0]
    torch.testing.assert_close(mine.weight_hh_l0.grad, theirs.weight_hh_l0.grad, rtol=1e-4, atol=1e-6)


def test_additive_attention_in_parts_is_that_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = writer("gru")
    ids, said, mask = inputs()
    counted = torch.ones_like(ids, dtype=torch.bool)
    found = []
    for most in (2**25, 2 * 3 * 5 * 10):  # two tokens at a time
        monkeypatch.setattr(recurrent_writer, "MOST_COMPARED", most)
        ours.zero_grad()
        own = said.clone().requires_grad_()
        loss = ours.losses(ids, counted, said=own, mask=mask)
        loss.sum().backward()
        assert ours.attention is not None
        found.append((loss.detach(), own.grad, ours.attention.keys.weight.grad))
    torch.testing.assert_close(found[0], found[1])


@BOTH
def test_a_row_without_inputs_is_told_the_same_whatever_its_padding_holds(kind: str) -> None:
    ours = writer(kind)
    ids, said, mask = inputs()
    mask[1] = False
    counted = torch.ones_like(ids, dtype=torch.bool)
    other = torch.where(mask[..., None], said, 9.0)
    wider = F.pad(other, (0, 0, 0, 3)), F.pad(mask, (0, 3))
    with torch.no_grad():
        found = ours.losses(ids, counted, said=said, mask=mask)
        torch.testing.assert_close(ours.losses(ids, counted, said=other, mask=mask), found)
        torch.testing.assert_close(ours.losses(ids, counted, said=wider[0], mask=wider[1]), found)
    assert torch.isfinite(found).all()
