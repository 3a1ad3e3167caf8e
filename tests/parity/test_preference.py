"""Direct preference optimisation against its formula over transformers' log-probabilities: loss and every gradient."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F

from dapeng.core.kinds import columns, objectives
from dapeng.core.spec import Spec
from dapeng.data.batch import Batch
from dapeng.data.feed import Rows
from dapeng.data.groups import PROMPT, REJECTED
from dapeng.data.prepare import Prepared
from dapeng.data.table import Frame
from dapeng.models.build import Choices, fresh_model
from dapeng.public.families import llama

transformers = pytest.importorskip("transformers", reason="parity needs the package transformers (dapeng[hf])")
CHOSEN = ["yes, gladly", "no", "a longer answer, by far", "so be it", "never", "of course"]
REJECTED_TEXTS = ["no", "maybe, who can say", "short", "let us see", "well, then", "hm"]
ASKED = ["will you?", "is it so?", "why?", "what now, my lord?", "when?", "may I?"]


def made(prompt: bool) -> tuple[Any, Batch, Any]:
    """Our objective at a start, moved a little from it; a batch of pairs; and the output's column."""
    decoder = {"type": "llama", "embed_dim": 16, "num_layers": 2, "num_heads": 2, "dropout": 0.0}
    options = columns.members()["text"].model_validate({"type": "text", "tokeniser": "characters", "decoder": decoder})
    summary = options.summary(True)
    summary.add(pa.array(CHOSEN + REJECTED_TEXTS + ASKED))
    column = options.fitted("good", summary.result(), True)
    beside = {REJECTED: type(column)("bad", options, column.state, True)}
    if prompt:
        beside[PROMPT] = type(column)("asked", options, column.state, True)
    table = {"good": CHOSEN, "bad": REJECTED_TEXTS, "asked": ASKED}
    store = Prepared({}, {"good": column}, None, 1.0, beside).store(Frame(pa.table(table)))
    torch.manual_seed(0)
    spec = Spec.model_validate({"outputs": {"good": {"type": "text"}}})
    model = fresh_model(spec, {}, {"good": column}, Choices())
    with torch.no_grad():  # so that what is likely is no matter of length alone
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    objective = objectives.members()["preference"](beta=0.3).build(model, {}, {"good": column, **beside})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    import numpy as np

    return objective, Rows(store).batch(np.arange(len(CHOSEN))), column


def theirs(model: Any, column: Any) -> Any:
    """The same network as transformers has it."""
    writer = model.decoders["good"].writer
    config = llama.config_of(writer.shape, column.codec.size, 64, True)
    found = transformers.AutoModelForCausalLM.from_config(
        transformers.LlamaConfig(**{k: v for k, v in config.items() if k != "architectures"})
    )
    state = {**dict(writer.stack.named_parameters()), "table": writer.table.module.weight}
    missing, extra = found.load_state_dict(
        {n: t.detach() for n, t in llama.theirs(state, writer.shape).items()}, strict=False
    )
    assert not extra
    assert [n for n in missing if n != "lm_head.weight"] == []
    found.tie_weights()
    return found.eval()


def log_probability(model: Any, codec: Any, asked: str, said: str) -> torch.Tensor:
    """Of what was said, given what was asked, the end counted: a text at a time, without padding."""
    first = [codec.bos, *codec.encode([asked])[0].tolist()]
    second = [*codec.encode([said])[0].tolist(), codec.eos]
    ids = torch.tensor([first + second])
    logits = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    return logits.gather(1, ids[0, 1:, None])[len(first) - 1 :, 0].sum()


@pytest.mark.parametrize("prompt", [False, True])
def test_loss_and_gradients_are_those_of_the_formula_over_transformers(prompt: bool) -> None:
    objective, batch, column = made(prompt)
    policy, reference = theirs(objective.model, column), theirs(objective.before.module, column)
    drawn = objective.draw(batch, "model")
    loss = (
        objective(drawn, "model")["preference"].sum()
        / torch.as_tensor(objective.counts(drawn, "model")["preference"]).sum()
    )
    each = []
    for asked, good, bad in zip(ASKED, CHOSEN, REJECTED_TEXTS):
        before = asked if prompt else ""
        chosen = log_probability(policy, column.codec, before, good)
        rejected = log_probability(policy, column.codec, before, bad)
        with torch.no_grad():
            old = [log_probability(reference, column.codec, before, t) for t in (good, bad)]
        # as trl's sigmoid loss is written: pi_logratios - ref_logratios
        each.append(-F.logsigmoid(0.3 * ((chosen - rejected) - (old[0] - old[1]))))
    wanted = torch.stack(each).mean()
    assert abs(float(wanted.detach()) - 0.693) > 1e-3, "the model has moved from where it began"
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-6)
    loss.backward()
    wanted.backward()
    writer = objective.model.decoders["good"].writer
    own = {n: p.grad for n, p in writer.stack.named_parameters()} | {"table": writer.table.module.weight.grad}
    given = {n: p.grad for n, p in policy.named_parameters() if n != "lm_head.weight"}
    for name, gradient in llama.theirs(own, writer.shape).items():
        torch.testing.assert_close(gradient, given[name], rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_the_model_that_training_began_from_is_in_no_checkpoint_and_never_moves() -> None:
    objective, batch, _ = made(True)
    names = set(objective.state_dict())
    assert {n.partition(".")[0] for n in names} == {"model", "digest"}
    assert len(list(objective.parameters())) == len(list(objective.model.parameters()))
    before = copy.deepcopy(objective.before.module.state_dict())
    optimiser = torch.optim.Adam(objective.trainable("model"), 1e-2)
    losses = []
    for _ in range(30):
        drawn = objective.draw(batch, "model")
        loss = objective(drawn, "model")["preference"].mean()
        losses.append(float(loss.detach()))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < 0.3 * losses[0]
    for name, tensor in objective.before.module.state_dict().items():
        assert torch.equal(tensor, before[name])
    told = objective.eval().tell(batch)
    assert float(told["right"][0]) == float(told["right"][1]) == len(CHOSEN)


def test_weights_that_changed_since_are_told_when_a_run_goes_on(tmp_path: Path) -> None:
    from dapeng.core.errors import TrainingError

    objective, _, _ = made(False)
    kept = {n: t.clone() for n, t in objective.state_dict().items()}
    other, _, _ = made(False)
    other.load_state_dict(kept)  # the same start
    with torch.no_grad():
        next(other.before.module.parameters()).add_(1.0)
    other.digest.zero_()
    with pytest.raises(TrainingError, match="no longer the same"):
        other.load_state_dict(kept)
    later, _, _ = made(False)
    later.begins(first=False)
    assert any(n.startswith("kept.") for n in later.state_dict()), "what an earlier phase made is kept whole"
