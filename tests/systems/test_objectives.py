"""Systems whose step means something else: players, noise, pairs, phases, play, teachers and preferences."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from dapeng.data.batch import Batch, Cells
from dapeng.decoders.classes import ClassDecoder
from dapeng.encoders.base import Encoder
from dapeng.encoders.embedding import EmbeddingEncoder
from dapeng.models.model import Model
from dapeng.nn.tables import Tables
from dapeng.objectives.base import Objective
from tests.systems.lessons import RBM, Adversarial, Distilled, DropInputs, MaskedTokens, Preference
from tests.systems.painting import Diffusion, Painter
from tests.systems.parts import Match, Sigmoids, without_input
from tests.systems.texts import TextDecoder
from tests.systems.training import (
    ROWS,
    InMemory,
    batch,
    cells,
    classes,
    convolutional,
    farthest,
    fused,
    pictures,
    single,
    texts,
    textual,
    train,
    value,
    weights,
)


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def by_label(decoder, absent: tuple[str, ...] = ()) -> Model:
    """A label -> a picture of 8 x 8."""
    tables = Tables()
    encoder = EmbeddingEncoder([4], 8, [tables.get("label", 4, 8)])
    return single("label", encoder, {"image": decoder}, tables, absent=absent)


def drawn(side: int = 8) -> Batch:
    """Pictures of four brightnesses."""
    codes = torch.arange(ROWS) % 4
    pixels = ((codes.float() - 1.5) / 2)[:, None, None, None] + 0.05 * torch.randn(ROWS, 1, side, side)
    return batch(label=cells(codes=codes[:, None]), image=cells(pixels=pixels.clamp(-1, 1)))


def adversarial(model: Model | None = None) -> Adversarial:
    critic = nn.Sequential(nn.Linear(72, 32), nn.ReLU(), nn.Linear(32, 1))
    return Adversarial(model or by_label(Painter), "image", critic)


def test_a_gan_takes_two_turns_with_an_optimiser_each_and_neither_moves_the_other() -> None:
    rows, objective = drawn(), adversarial()
    _, state = train(objective, rows, 5, 5e-3)
    assert set(state.strategy.optimisers) == {"critic", "generator"}
    mine = [{id(p) for g in o.param_groups for p in g["params"]} for o in state.strategy.optimisers.values()]
    assert not mine[0] & mine[1]
    assert mine[0] | mine[1] == {id(p) for p in objective.parameters()}
    # one player at a time: each gets better at its own game, while the other stands still
    for turn, still in (("critic", objective.model), ("generator", objective.critic)):
        objective.turns = (turn,)
        kept = weights(still)
        losses, _ = train(objective, rows, 60, 5e-3)
        assert losses[-1] < 0.6 * losses[0], turn
        assert farthest(weights(still), kept) == 0


@pytest.mark.parametrize("turn", ["critic", "generator"])
def test_a_turn_gives_gradients_to_its_own_parameters_alone(turn: str) -> None:
    objective = adversarial()
    objective(drawn(), turn)[turn].sum().backward()
    own = {id(p) for p in objective.trainable(turn)}
    for name, parameter in objective.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in own), name
        assert parameter.requires_grad, "nothing stays frozen after a turn"


def test_diffusion_trains_with_dropped_conditions_and_is_guided_with_averaged_weights() -> None:
    rows = drawn(2)
    objective = DropInputs(by_label(lambda w: Diffusion(w, 2), absent=("label",)), 0.2)
    losses, state = train(objective, rows, 600, 1e-2, ema=0.95)
    assert sum(losses[-20:]) < 0.6 * sum(losses[:20])
    model = objective.model.eval()
    trained = weights(model)
    with state.average.applied(), torch.no_grad():
        assert farthest(weights(model), trained) > 1e-4, "the average is not the last step"
        nothing = without_input(rows, "label")
        blank = model.features(nothing)

        def painted(of: Batch, **options) -> Tensor:
            torch.manual_seed(1)
            return model(of, **options)["image"]["pixels"]

        pixels = [painted(rows, blank=blank, guidance=g) for g in (0.0, 1.0)]
        torch.testing.assert_close(pixels[0], painted(nothing))
        torch.testing.assert_close(pixels[1], painted(rows))
    assert farthest(weights(model), trained) == 0
    code = rows["label"]["codes"][:, 0]
    bright = [p.mean((1, 2, 3)) for p in pixels]
    apart = [float(b[code == 3].mean() - b[code == 0].mean()) for b in bright]
    assert abs(apart[0]) < 0.3, f"without guidance by the condition its codes look alike: {apart}"
    assert apart[1] > 0.75, f"half of the real difference at least: {apart}"
    assert blank is not None
    assert blank.pooled is not None
    assert bool((blank.pooled == blank.pooled[0]).all()), "without a condition all rows are one"


def test_two_towers_are_read_unfused_and_their_vectors_are_the_prediction() -> None:
    tables = Tables()
    encoders: dict[str, Encoder] = {"photo": convolutional(), "caption": textual(tables.get("words", 20, 16))}
    match = Match("photo", "caption", {n: e.widths for n, e in encoders.items()}, 16)
    model = Model(encoders, None, {"pair": match}, tables)
    rows = batch(photo=pictures(), caption=texts(), pair=cells(pair=torch.zeros(ROWS)))
    losses, _ = train(Objective(model), rows, 40, 5e-3)
    assert losses[-1] < 0.3 * losses[0]
    with torch.no_grad():
        found = model(rows)["pair"]
    torch.testing.assert_close(found["first"].norm(dim=1), torch.ones(ROWS))
    assert ((found["first"] @ found["second"].T).argmax(1) == torch.arange(ROWS)).float().mean() > 0.8


def test_masked_pretraining_hands_its_encoder_to_fine_tuning() -> None:
    tables = Tables()
    model = single("note", textual(tables.get("words", 20, 16)), {"y": classes(2)}, tables)
    g = torch.Generator().manual_seed(5)
    first = torch.randint(3, 17, (ROWS, 1), generator=g)
    note = cells(ids=first + torch.arange(6) % 3, mask=torch.ones(ROWS, 6, dtype=torch.bool))  # x, x+1, x+2, x, ...
    rows = batch(note=note, y=cells(codes=(first[:, 0] > 9).long()))
    before = weights(model)
    masked = MaskedTokens(model, "note")
    losses, _ = train(masked, rows, 120, 1e-2)
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
    changed = {n for n, t in weights(model).items() if not torch.equal(t, before[n])}
    assert changed == {n for n in before if n.startswith(("encoders.", "tables."))}, "heads wait for their phase"
    assert not any("head" in n for n in model.state_dict() if not n.startswith("decoders.")), "its head stays behind"
    tuned, _ = train(Objective(model), rows, 40, 5e-3)
    assert tuned[-1] < 0.3 * tuned[0]


def test_masking_counts_what_it_has_hidden_in_the_draw_itself() -> None:
    tables = Tables()
    model = single("note", textual(tables.get("words", 20, 16)), {"y": classes(2)}, tables)
    objective = MaskedTokens(model, "note")
    shown = objective.draw(batch(note=texts()), "model")
    original = shown["note.original"]
    assert objective.counts(shown, "model")["masked"].tolist() == original["hidden"].sum(1).tolist()  # type: ignore[union-attr]
    assert bool((shown["note"]["ids"][original["hidden"]] == 0).all())
    loss = objective(shown, "model")["masked"]
    assert loss.shape == (ROWS,)


def test_a_belief_network_is_trained_layer_by_layer_then_fine_tuned() -> None:
    model = single("x", Sigmoids(20, 16, 8), {"y": classes(2)})
    g = torch.Generator().manual_seed(3)
    pattern = (torch.rand(2, 20, generator=g) > 0.5).float()
    code = torch.arange(ROWS) % 2
    noise = (torch.rand(ROWS, 20, generator=g) < 0.05).float()
    rows = batch(x=cells(values=(pattern[code] - noise).abs()), y=cells(codes=code))
    for number in range(2):
        before = weights(model)
        objective = RBM(model, "x", number)

        def error(objective: RBM = objective) -> float:
            with torch.no_grad():
                v = objective.below(rows)
                torch.manual_seed(9)
                return float((objective.dream(v) - v).pow(2).mean())

        at_first = error()
        train(objective, rows, 150, 2e-2)
        assert error() < 0.9 * at_first
        changed = {n for n, t in weights(model).items() if not torch.equal(t, before[n])}
        assert changed == {f"encoders.x.layers.{number}.weight", f"encoders.x.layers.{number}.bias"}
    losses, _ = train(Objective(model), rows, 60, 2e-2)
    assert losses[-1] < 0.2 * losses[0]


def test_self_play_grows_its_own_batches_from_the_model_that_learns() -> None:
    encoder = convolutional(2, 8)
    model = single("board", encoder, {"move": classes(9), "value": value})
    played: list[Batch] = []
    asked: list[Tensor] = []

    def play(step: int, predict) -> list[Batch] | None:
        if step % 5:
            return None
        board = cells(pixels=torch.randint(0, 2, (16, 2, 8, 8), dtype=torch.uint8))
        with torch.no_grad():
            found = predict(batch(board=board))["move"]["probabilities"]
        asked.append(found)
        sharper = found**2 / (found**2).sum(1, keepdim=True)
        played.append(batch(board=board, move=cells(probabilities=sharper), value=cells(values=torch.rand(16) * 2 - 1)))
        return [played[-1]]

    feed = InMemory(batch(board=cells(pixels=torch.zeros(1, 2, 8, 8))), grown=play)
    losses, _ = train(Objective(model), feed, 20, 1e-2)
    assert len(played) == 4
    assert losses[4] < losses[0]
    entropy = [float(-(p * p.log()).sum(1).mean()) for p in asked]
    assert entropy[-1] < entropy[0], "what it plays becomes surer as it learns from itself"


def test_a_student_comes_nearer_to_a_frozen_teacher_that_is_not_in_its_checkpoint() -> None:
    teacher = single("photo", convolutional(), {"label": classes(3)})
    with torch.no_grad():
        teacher.decoders["label"].head.weight.mul_(8)  # type: ignore[union-attr]
    student = single("photo", convolutional(width=4), {"label": classes(3)})
    rows = batch(photo=pictures(), label=cells(codes=torch.zeros(ROWS, dtype=torch.int64)))
    objective = Distilled(student, teacher)
    kept = weights(teacher)

    def distance() -> float:
        with torch.no_grad():
            a, b = (m.eval()(rows)["label"]["probabilities"] for m in (teacher, student))
        return float((a * (a.log() - b.log())).sum(1).mean())

    before = distance()
    train(objective, rows, 60, 1e-2)
    assert distance() < 0.3 * before
    assert farthest(weights(teacher), kept) == 0
    assert {n.removeprefix("model.") for n in objective.state_dict()} == set(student.state_dict())


def test_preference_makes_the_chosen_answer_likelier_than_a_reference_that_shares_nothing() -> None:
    tables = Tables()
    words = tables.get("words", 20, 16)
    encoder = textual(words)
    model = Model({"q": encoder}, fused({"q": encoder}), {"a": TextDecoder(words, cross=True)}, tables)
    g = torch.Generator().manual_seed(4)
    ids = torch.randint(3, 20, (ROWS, 5), generator=g)
    chosen = cells(ids=ids, mask=torch.ones(ROWS, 5, dtype=torch.bool))
    rejected = Cells({**chosen.tensors, "ids": ids.roll(1, 0)})
    rows = batch(q=texts(), chosen=chosen, rejected=rejected)
    objective = Preference(model, "a")
    reference = copy.deepcopy(weights(objective.reference.module))
    losses, _ = train(objective, rows, 40, 5e-3)
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)  # at first both models are one: log 2
    assert losses[-1] < 0.5 * losses[0]
    assert farthest(weights(objective.reference.module), reference) == 0
    with torch.no_grad():
        assert bool((objective.margin(model, rows) > objective.margin(objective.reference.module, rows)).all())


def test_a_soft_target_of_ones_and_zeros_is_the_hard_target() -> None:
    decoder: ClassDecoder = classes(4)(convolutional().widths)
    model = single("photo", convolutional(), {"label": lambda w: decoder})
    codes = torch.arange(ROWS) % 4
    hard = batch(photo=pictures(), label=cells(codes=codes))
    soft = hard.replace({"label": cells(probabilities=nn.functional.one_hot(codes, 4).float())})
    torch.testing.assert_close(model.losses(hard), model.losses(soft))
