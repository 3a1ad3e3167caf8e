"""A spec looked at before it is trained: one row walked through every step, the model as a graph, one training step in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dapeng.api.columns import from_spec, settle
from dapeng.columns.base import Column
from dapeng.core.console import table
from dapeng.core.spec import Spec
from dapeng.data.batch import Batch
from dapeng.data.feed import Rows
from dapeng.data.open import open_data
from dapeng.data.prepare import Prepared, fit_columns
from dapeng.data.stored import Store
from dapeng.data.table import Frame
from dapeng.models.build import Choices, build_model, parameters, with_encoders
from dapeng.models.model import Model
from dapeng.nn.features import Features
from dapeng.objectives.base import total
from dapeng.train.network import phases_of

ROWS = 2_000
SHOWN = 8


class Look:
    """The columns fitted on the first rows, and the network that they would get."""

    def __init__(self, spec: Spec, folder: Path | None):
        opened = open_data(spec.data.model_copy(update={"max_rows": min(spec.data.max_rows or ROWS, ROWS)}), folder)
        source = opened.whole()
        chosen = from_spec(spec, source)
        settle(chosen, folder)
        self.source = Frame(source.read(list({**chosen.inputs, **chosen.outputs})), source.name, source.base)
        wanted = {n: (o, False) for n, o in chosen.inputs.items()} | {n: (o, True) for n, o in chosen.outputs.items()}
        fitted = fit_columns(self.source, wanted, lambda start, count: np.ones(count, bool))
        self.inputs: dict[str, Column] = with_encoders(
            {n: fitted[n] for n in chosen.inputs}, source.rows or ROWS, Choices()
        )
        self.outputs: dict[str, Column] = {n: fitted[n] for n in chosen.outputs}
        self.store: Store = Prepared(self.inputs, self.outputs, None, 1.0).store(self.source)
        torch.manual_seed(spec.train.seed)
        self.model: Model = build_model(spec, self.inputs, self.outputs, Choices())
        self.spec = spec

    def batch(self, rows: list[int]) -> Batch:
        return Rows(self.store).batch(np.array(rows))


def sample(spec: Spec, folder: Path | None) -> str:
    """One row of the data: the cell, the tensors, the features, the prediction, the value."""
    look = Look(spec, folder)
    batch = look.batch([0])
    lines: list[tuple[str, str, str]] = []
    raw = look.source.read().slice(0, 1).to_pylist()[0]
    for name, column in look.inputs.items():
        lines.append(("cell", name, _cell(raw[name])))
        lines.append(("fitted", name, column.describe()))
    look.model.eval()
    with torch.inference_mode():
        parts = {}
        for key, encoder in look.model.encoders.items():
            cells = batch[key]
            lines += [("tensor", f"{key}.{n}", _tensor(t)) for n, t in cells.tensors.items()]
            embedded = encoder.embed(cells)
            lines.append(("embedded", key, _tensor(embedded)))
            parts[key] = encoder.read(embedded, cells)
            lines += [("features", f"{key}.{n}", shown) for n, shown in _features(parts[key])]
        fused = look.model.fusion(parts) if look.model.fusion is not None else None
        if fused is not None:
            lines += [("fused", n, shown) for n, shown in _features(fused)]
        for name, decoder in look.model.decoders.items():
            found = decoder.predict(look.model.read_by(decoder, parts, fused), 1)
            units = look.outputs[name].to_units(found)
            lines += [("prediction", f"{name}.{k}", _tensor(t)) for k, t in units.items()]
            value = look.outputs[name].decode({k: t.numpy() for k, t in units.items()})[0]
            lines.append(("value", name, f"{value!r} (not trained yet); the table says {_cell(raw[name])}"))
    return table(lines, ("step", "what", "shape and first values"))


def graph(spec: Spec, folder: Path | None) -> str:
    """The model as a Mermaid graph."""
    look = Look(spec, folder)
    out = ["flowchart LR"]
    number = {n: f"c{i}" for i, n in enumerate([*look.inputs, *look.outputs])}
    for i, g in enumerate(look.store.inputs):
        encoder = look.model.encoders[g.key]
        kind = look.inputs[g.columns[0]].options.encoder.type  # type: ignore[attr-defined]
        out.append(f'  e{i}["{_safe(kind)}<br/>{parameters(encoder):,} parameters<br/>{_widths(encoder.widths)}"]')
        for name in g.columns:
            out.append(f'  {number[name]}(["{_safe(name)}: {look.inputs[name].type}"]) --> e{i}')
        out.append(f"  e{i} --> fusion")
    if look.model.fusion is not None:
        fusion = look.model.fusion
        out.append(
            f'  fusion["{_safe(look.spec.fusion.type)}<br/>{parameters(fusion):,} parameters<br/>{_widths(fusion.widths)}"]'
        )
    for i, (name, decoder) in enumerate(look.model.decoders.items()):
        kind = look.outputs[name].options.decoder.type  # type: ignore[attr-defined]
        lead = "fusion --> " if look.model.fusion is not None else ""
        out.append(f'  {lead}d{i}["{_safe(kind)}<br/>{parameters(decoder):,} parameters"]')
        out.append(f'  d{i} --> {number[name]}(["{_safe(name)}: {look.outputs[name].type}"])')
    return "\n".join(out)


def step(spec: Spec, folder: Path | None) -> str:
    """One training step in numbers: every activation, every delta (the gradient that comes back to it), every update."""
    look = Look(spec, folder)
    size = 1 if look.store.rows == 1 else 4
    batch = look.batch(list(range(min(size, look.store.rows))))
    first = phases_of(spec.train, look.model)[0].objective
    objective = first.build(look.model, {}, {**look.inputs, **look.outputs})
    rate = spec.train.learning_rate if spec.train.learning_rate != "auto" else 1e-3
    optimiser = spec.train.optimiser.build([{"params": objective.trainable("model")}], rate)
    objective.train()
    seen: list[tuple[str, Tensor]] = []
    hooks = [m.register_forward_hook(_keep(seen, n)) for n, m in look.model.named_modules() if not list(m.children())]
    batch = objective.draw(batch, "model")
    losses = objective(batch, "model")
    counts = {n: (c if isinstance(c, int) else float(c.sum())) for n, c in objective.counts(batch, "model").items()}
    loss = total(objective, losses, counts)
    for _, activation in seen:
        if activation.requires_grad:
            activation.retain_grad()
    loss.backward()
    for hook in hooks:
        hook.remove()
    lines = [("input", f"{k}.{n}", _tensor(t, True)) for k, c in batch.columns.items() for n, t in c.tensors.items()]
    lines += [("activation", name, _tensor(t, True)) for name, t in seen]
    lines += [("loss", n, _tensor(v, True)) for n, v in losses.items()] + [("loss", "total", f"{loss.item():.6f}")]
    lines += [("delta", name, _tensor(t.grad, True)) for name, t in reversed(seen) if t.grad is not None]
    before = {n: p.detach().clone() for n, p in look.model.named_parameters()}
    lines += [("gradient", n, _tensor(p.grad, True)) for n, p in look.model.named_parameters() if p.grad is not None]
    optimiser.step()
    for name, p in look.model.named_parameters():
        lines.append(("before", name, _tensor(before[name], True)))
        lines.append(("update", name, _tensor(p.detach() - before[name], True)))
    return "\n".join([table(lines, ("step", "what", "shape and values")), *_unreachable(look)])


def _unreachable(look: Look) -> Iterator[str]:
    """Targets that the last activation can never give."""
    for name, column in look.outputs.items():
        activation = getattr(column.options.decoder, "activation", None)  # type: ignore[attr-defined]
        values = look.store.stored[name].tensors.get("values")
        if activation == "sigmoid" and values is not None and (values > 1).any():
            yield f"note: {name}: a sigmoid gives values between 0 and 1, so it can't reach the target {values.max():g}"


def _keep(seen: list[tuple[str, Tensor]], name: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            seen.append((f"{name} ({type(module).__name__})", output))

    return hook


def _features(f: Features) -> list[tuple[str, str]]:
    out = [(n, _tensor(t)) for n, t in (("pooled", f.pooled), ("tokens", f.tokens), ("mask", f.mask)) if t is not None]
    return out + [(f"maps[{i}]", _tensor(m)) for i, m in enumerate(f.maps)]


def _tensor(t: Tensor, every: bool = False) -> str:
    flat = t.detach().flatten()
    count = 24 if every else SHOWN
    numbers = " ".join(f"{v:.6g}" for v in flat[:count].double().tolist())
    more = " ..." if len(flat) > count else ""
    return f"({', '.join(map(str, t.shape))})  {numbers}{more}"


def _widths(w: Any) -> str:
    return ", ".join(f"{n} {v}" for n, v in (("pooled", w.pooled), ("tokens", w.tokens)) if v)


def _cell(value: Any) -> str:
    return f"{len(value):,} bytes" if isinstance(value, bytes) else repr(value)[:60]


def _safe(text: str) -> str:
    """Text inside a Mermaid label."""
    return "".join(c if c.isalnum() or c in " _-.:," else f"#{ord(c)};" for c in text)
