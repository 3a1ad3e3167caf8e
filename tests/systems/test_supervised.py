"""Tables, pictures, texts, sound, boxes, items and sensors through the one Model, Objective and loop."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call, grad, vmap

from dapeng.data.batch import Batch, Cells
from dapeng.encoders.base import Encoder
from dapeng.models.model import Model
from dapeng.nn.tables import Tables
from dapeng.objectives.base import Objective, total
from dapeng.train.optimisers.sgd import SGD
from tests.systems.lessons import DropInputs
from tests.systems.painting import Boxes
from tests.systems.parts import Frames, History, NextItem, without_input
from tests.systems.texts import CTC, TextDecoder
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
    table,
    tabular,
    texts,
    textual,
    train,
    weights,
)


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("members", [1, 4])
def test_a_table_with_two_outputs_is_learnt(members: int) -> None:
    losses, _ = train(Objective(tabular(members), {"price": 0.5}), table(), 80, 1e-2)
    assert losses[-1] < 0.3 * losses[0]


def test_four_members_are_averaged_in_probability_and_differ_before_that() -> None:
    model, rows = tabular(4), table()
    with torch.no_grad():
        features = model.features(rows)
        logits = model.decoders["label"].logits(features)  # type: ignore[operator]
        assert logits.shape == (ROWS, 4, 2)
        assert float(logits.std(1).mean()) > 1e-3
        torch.testing.assert_close(model(rows)["label"]["probabilities"], logits.softmax(-1).mean(1))


def test_a_missing_target_and_an_absent_number_cannot_leak() -> None:
    """What lies in the cells of missing prices and absent numbers may be anything."""
    losses = []
    for fill in (0.0, 1e6):
        torch.manual_seed(0)
        rows = table()
        price, numbers = rows["price"], rows["numbers"]
        assert price.present is not None
        assert numbers.present is not None
        wild = rows.replace(
            {
                "price": Cells({"values": price["values"].masked_fill(~price.present, fill)}, price.present),
                "numbers": Cells({"values": numbers["values"].masked_fill(~numbers.present, fill)}, numbers.present),
            }
        )
        losses.append(train(Objective(tabular()), wild, 5)[0])
    assert losses[0] == losses[1]


def test_ragged_micro_batches_with_missing_targets_equal_the_large_batch() -> None:
    """Four micro-batches of unequal size and unequally many prices, one of them with none at all."""
    found = []
    rows = table()
    price = rows["price"]
    assert price.present is not None
    none_first = torch.cat([torch.zeros(5, dtype=torch.bool), price.present[5:]])
    rows = rows.replace({"price": Cells(price.tensors, none_first)})
    cuts = [rows.take(slice(a, b)) for a, b in ((0, 5), (5, 8), (8, 21), (21, ROWS))]
    for micros in ([rows], cuts):
        torch.manual_seed(0)
        objective = Objective(tabular(), {"price": 0.5})
        losses, _ = train(objective, InMemory(*micros), 5, 0.1, SGD(), clip=1.0)
        found.append((weights(objective), losses))
    assert farthest(found[0][0], found[1][0]) < 1e-5
    assert found[0][1] == pytest.approx(found[1][1], abs=1e-5)


def test_a_mean_for_each_micro_batch_would_not_equal_the_large_batch() -> None:
    """The test above can fail: with each micro-batch divided by its own counts the gradient is another one."""
    rows = table()
    model = tabular()
    objective = Objective(model)
    parts = [rows.take(slice(0, 5)), rows.take(slice(5, ROWS))]

    def gradient(of: list[Batch]) -> torch.Tensor:
        objective.zero_grad()
        for one in of:
            counts = {
                n: torch.as_tensor(c, dtype=torch.float32).sum() for n, c in objective.counts(one, "model").items()
            }
            counts["label"] = torch.tensor(float(one.size))
            (total(objective, objective(one, "model"), counts) / len(of)).backward()  # type: ignore[arg-type]
        return torch.cat([p.grad.flatten() for p in objective.parameters() if p.grad is not None])

    assert float((gradient([rows]) - gradient(parts)).abs().max()) > 1e-3


def test_pictures_are_learnt_with_batch_norm_in_training_and_its_averages_in_prediction() -> None:
    model = single("photo", convolutional(norm="batch"), {"label": classes(2)})
    photo = pictures()
    label = cells(codes=(photo["pixels"][:, 0].float().mean((1, 2)) > 127.5).long())
    rows = batch(photo=photo, label=label)
    losses, _ = train(Objective(model), rows, 60, 1e-2)
    assert losses[-1] < 0.3 * losses[0]
    model.eval()
    with torch.no_grad():
        together = model(rows)["label"]["probabilities"]
        alone = model(rows.take(slice(3, 4)))["label"]["probabilities"]
    torch.testing.assert_close(alone[0], together[3], rtol=1e-4, atol=1e-5)


def language_model() -> tuple[Model, TextDecoder]:
    tables = Tables()
    decoder = TextDecoder(tables.get("text", 20, 16))
    return Model({}, None, {"text": decoder}, tables), decoder


def test_a_language_model_has_no_inputs_and_packed_documents_do_not_see_each_other() -> None:
    model, decoder = language_model()
    segments = torch.tensor([[0] * 5 + [1] * 4]).expand(ROWS, 9)
    every = torch.ones(ROWS, 9, dtype=torch.bool)
    packed = cells(ids=torch.randint(3, 20, (ROWS, 9)), mask=every, segments=segments)
    losses, _ = train(Objective(model), batch(text=packed), 60, 1e-2)
    assert losses[-1] < 0.6 * losses[0]
    pieces = [cells(ids=packed["ids"][:, a:b], mask=every[:, a:b]) for a, b in ((0, 5), (5, 9))]
    with torch.no_grad():
        apart = sum(decoder.loss(None, p) for p in pieces)
        torch.testing.assert_close(decoder.loss(None, packed), apart, rtol=1e-5, atol=1e-5)
    assert decoder.count(packed).tolist() == [7.0] * ROWS


def test_generation_with_a_cache_equals_generation_without() -> None:
    model, decoder = language_model()
    with torch.no_grad():
        cached = model(Batch(rows=torch.arange(3)))["text"]["ids"]
        plain = torch.ones(3, 1, dtype=torch.int64)
        for _ in range(8):
            i = torch.arange(plain.shape[1])
            hidden = decoder.hidden(None, plain, (i[:, None] >= i)[None, None], i.expand(3, -1))
            plain = torch.cat([plain, decoder.logits(hidden)[:, -1].argmax(-1, keepdim=True)], 1)
    ended = (plain == 2).cumsum(1).bool()
    torch.testing.assert_close(cached.masked_fill(ended, 0), plain.masked_fill(ended, 0))


def translation() -> Model:
    """One table for the source, the target and the output layer."""
    tables = Tables()
    words = tables.get("words", 20, 16)
    encoder = textual(words)
    return Model({"en": encoder}, fused({"en": encoder}), {"de": TextDecoder(words, cross=True)}, tables)


def reversed_start(text: Cells) -> Cells:
    """The first three tokens, backwards."""
    rows = text["ids"].shape[0]
    begin, end = (torch.full((rows, 1), code) for code in (1, 2))
    ids = torch.cat([begin, text["ids"][:, :3].flip(1), end], 1)
    return cells(ids=ids, mask=torch.ones(ids.shape, dtype=torch.bool))


def test_translation_is_learnt_and_found_by_beam_search_with_one_table_for_all() -> None:
    model = translation()
    source = texts()
    answer = reversed_start(source)
    rows = batch(en=source, de=answer)
    losses, _ = train(Objective(model), rows, 120, 1e-2)
    assert losses[-1] < 0.1 * losses[0]
    model.eval()
    with torch.no_grad():
        beam, greedy = (model(rows, beams=k, length=4)["de"] for k in (3, 1))
        likelihood = model.decoders["de"].score(model.features(rows), answer)  # type: ignore[operator]
    right = (beam["ids"] == answer["ids"]).all(1)
    assert right.float().mean() > 0.9
    # a beam's own sum of log-probabilities is what `score` says of the same ids
    torch.testing.assert_close(beam["log_likelihood"][right], likelihood[right], rtol=1e-4, atol=1e-4)
    assert bool((beam["log_likelihood"] >= greedy["log_likelihood"] - 1e-4).all())
    assert set(model.state_dict()) == {n for n, _ in model.named_parameters()}
    assert sum(t.shape == (20, 16) for t in model.state_dict().values()) == 1


def test_ctc_and_attention_learn_from_one_encoder() -> None:
    tables = Tables()
    encoder = Frames(6, 16)
    attention = TextDecoder(tables.get("words", 20, 16), cross=True)
    model = Model({"clip": encoder}, fused({"clip": encoder}), {"ctc": CTC(encoder.widths, 6), "ar": attention}, tables)
    ids = torch.randint(1, 6, (ROWS, 4))
    clip = cells(frames=torch.randn(ROWS, 24, 6), mask=torch.ones(ROWS, 24, dtype=torch.bool))
    spoken = cells(ids=ids, mask=torch.arange(4) < torch.randint(2, 5, (ROWS, 1)))
    rows = batch(clip=clip, ctc=spoken, ar=reversed_start(cells(ids=ids + 3, mask=None)))
    losses, _ = train(Objective(model, {"ctc": 0.3}), rows, 50, 1e-2)
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        assert model(rows)["ctc"]["frame_ids"].shape == (ROWS, 12)


def test_a_detector_learns_from_as_many_boxes_as_each_picture_has_and_padding_changes_nothing() -> None:
    model = single("photo", convolutional(), {"cells": lambda w: Boxes(w, 2)})
    boxes = cells(
        boxes=torch.rand(ROWS, 3, 4) * 8 + 3,
        labels=torch.randint(0, 2, (ROWS, 3)),
        mask=torch.arange(3) < torch.randint(0, 4, (ROWS, 1)),
    )
    rows = batch(photo=pictures(), cells=boxes)
    losses, _ = train(Objective(model), rows, 30, 1e-2)
    assert losses[-1] < 0.5 * losses[0]
    wider = cells(
        boxes=F.pad(boxes["boxes"], (0, 0, 0, 2), value=5.0),
        labels=F.pad(boxes["labels"], (0, 2), value=1),
        mask=F.pad(boxes["mask"], (0, 2)),
    )
    with torch.no_grad():
        torch.testing.assert_close(model.losses(rows), model.losses(rows.replace({"cells": wider})))
    assert (boxes["mask"].sum(1) == 0).any(), "a picture without boxes is among them"


@pytest.mark.parametrize("negatives", [None, 10])
def test_a_recommender_shares_one_table_between_history_and_next_item(negatives: int | None) -> None:
    tables = Tables()
    items = tables.get("item", 30, 16)
    history = cells(ids=torch.randint(0, 30, (ROWS, 6)), mask=torch.ones(ROWS, 6, dtype=torch.bool))
    rows = batch(history=history, next=cells(codes=torch.randint(0, 30, (ROWS,))))
    model = single("history", History(items), {"next": lambda w: NextItem(w, items, negatives)}, tables, hidden=(16,))
    losses, _ = train(Objective(model), rows, 60, 1e-2)
    assert min(losses[-5:]) < 0.7 * losses[0]
    assert sum(t.shape == (30, 16) for t in model.state_dict().values()) == 1
    seen = torch.zeros(ROWS, 30, dtype=torch.bool).scatter(1, history["ids"], True)
    with torch.no_grad():
        best = model(rows, seen=seen)["next"]["scores"].topk(5).indices
    assert not seen.gather(1, best).any(), "what was seen is not recommended again"


def sensors() -> tuple[Model, Batch]:
    tables = Tables()
    encoders: dict[str, Encoder] = {
        "camera": convolutional(),
        "radar": Frames(6, 16),
        "note": textual(tables.get("words", 20, 16)),
    }
    fusion = fused(encoders, (32,), absent=("camera", "radar", "note"))
    model = Model(encoders, fusion, {"y": classes(2)(fusion.widths)}, tables)
    radar = cells(frames=torch.randn(ROWS, 24, 6), mask=torch.ones(ROWS, 24, dtype=torch.bool))
    y = cells(codes=(radar["frames"][:, :, 0].mean(1) > 0).long())
    return model, batch(camera=replace(pictures(), present=torch.rand(ROWS) > 0.3), radar=radar, note=texts(), y=y)


def test_sensors_drop_out_in_training_and_an_absent_one_cannot_leak() -> None:
    model, rows = sensors()
    losses, _ = train(DropInputs(model), rows, 40, 1e-2)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    model.eval()
    empty = rows.replace({"camera": cells(pixels=torch.zeros_like(rows["camera"]["pixels"]))})
    with torch.no_grad():
        said = [model(without_input(b, "camera"))["y"]["probabilities"] for b in (rows, empty)]
        assert torch.equal(*said)
        assert not torch.equal(said[0], model(rows)["y"]["probabilities"])


def test_an_absent_input_has_no_token_that_attention_could_read() -> None:
    tables = Tables()
    words = tables.get("words", 20, 16)
    encoders: dict[str, Encoder] = {"radar": Frames(6, 16), "note": textual(words)}
    fusion = fused(encoders, absent=("radar",))
    model = Model(encoders, fusion, {"told": TextDecoder(words, cross=True)}, tables).eval()
    radar = cells(frames=torch.randn(ROWS, 24, 6), mask=torch.ones(ROWS, 24, dtype=torch.bool))
    rows = batch(radar=radar, note=texts(), told=reversed_start(texts()))
    other = rows.replace({"radar": cells(frames=torch.randn(ROWS, 24, 6), mask=radar["mask"])})
    with torch.no_grad():
        a, b = (model.losses(without_input(r, "radar"))["told"] for r in (rows, other))
        assert torch.equal(a, b)
        assert not torch.equal(model.losses(rows)["told"], model.losses(other)["told"])


def tied() -> tuple[Objective, Batch]:
    model = translation()
    return Objective(model), batch(en=texts(), de=reversed_start(texts()))


def two_outputs() -> tuple[Objective, Batch]:
    return Objective(tabular()), table()


def convolutions() -> tuple[Objective, Batch]:
    model = single("photo", convolutional(), {"label": classes(2)})
    return Objective(model), batch(photo=pictures(), label=table()["label"])


@pytest.mark.parametrize("system", [two_outputs, tied, convolutions])
def test_gradients_of_single_rows_come_from_vmap_over_the_objective(system) -> None:
    """Also where a table is tied to input, output and positions: what hooks get wrong."""
    objective, rows = system()
    parameters = {n: p.detach() for n, p in objective.named_parameters()}

    def loss(parameters: dict, row: Batch) -> torch.Tensor:
        return torch.stack([v.sum() for v in functional_call(objective, parameters, (row, "model")).values()]).sum()

    single_rows = torch.utils._pytree.tree_map_only(torch.Tensor, lambda t: t.unsqueeze(1), rows)
    every = vmap(grad(loss), in_dims=(None, 0), randomness="different")(parameters, single_rows)
    for row in (0, 7):
        objective.zero_grad()
        sum(v.sum() for v in objective(rows.take(slice(row, row + 1)), "model").values()).backward()  # type: ignore[union-attr]
        for name, parameter in objective.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(every[name][row], parameter.grad, rtol=1e-3, atol=1e-5)


def test_an_explanation_enters_through_embed_and_knows_each_element() -> None:
    """Integrated gradients over what `embed` gives add up to the difference of the outputs (Sundararajan et al., 2017)."""
    objective, rows = Objective(tabular(), {"price": 0.0}), table(256)
    train(objective, rows, 60, 1e-2)
    model = objective.model.eval()
    real = {n: e.embed(rows[n]).detach() for n, e in model.encoders.items()}
    zero = {n: torch.zeros_like(t) for n, t in real.items()}

    def logit(embedded: dict[str, torch.Tensor]) -> torch.Tensor:
        return model.decoders["label"].logits(model.features(rows, embedded))[:, 1]  # type: ignore[operator]

    sums = {n: torch.zeros_like(t) for n, t in real.items()}
    steps = 64
    for k in range(steps):
        at = {n: (t * ((k + 0.5) / steps)).requires_grad_() for n, t in real.items()}
        for name, g in zip(at, torch.autograd.grad(logit(at).sum(), list(at.values()))):
            sums[name] += g / steps
    by_element = {n: (sums[n] * real[n]).sum(-1) for n in real}
    assert by_element["numbers"].shape == (256, 5)
    assert by_element["categories"].shape == (256, 2)
    with torch.no_grad():
        difference = logit(real) - logit(zero)
    found = by_element["numbers"].sum(1) + by_element["categories"].sum(1)
    torch.testing.assert_close(found, difference, rtol=0.05, atol=0.05)
    assert by_element["numbers"].abs().mean(0).argmax() == 0, "the label is the sign of the first number"


def test_a_copy_keeps_its_tables_tied_to_its_own_and_not_to_the_original() -> None:
    model = translation()
    twin = copy.deepcopy(model)
    own = next(iter(twin.tables.parameters()))
    assert twin.encoders["en"].table.module.weight is own  # type: ignore[union-attr]
    assert twin.decoders["de"].table.module.weight is own  # type: ignore[union-attr]
    assert own.data_ptr() != next(iter(model.tables.parameters())).data_ptr()
