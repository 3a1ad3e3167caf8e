"""The detector's parts against plain forms, and the whole way: trained, judged, predicted, exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from browsing import answered  # type: ignore[import-not-found]
from scenes import scenes, spec_of  # type: ignore[import-not-found]

from dapeng import api
from dapeng.cli.results import _csv
from dapeng.nn.assignment import assigned
from dapeng.nn.boxes import complete_overlap, overlap, survivors
from dapeng.nn.detector import corners, distribution_loss, used


def random_boxes(rows: int, count: int, spread: float = 40.0) -> torch.Tensor:
    low = torch.rand(rows, count, 2) * spread
    return torch.cat([low, low + 4 + torch.rand(rows, count, 2) * 30], 2)


def plain_nms(boxes: np.ndarray, codes: np.ndarray, threshold: float) -> list[bool]:
    """Box by box, the surest first."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        clear = True
        for j in kept:
            if codes[j] != codes[i]:
                continue
            other = boxes[j]
            wide = min(box[2], other[2]) - max(box[0], other[0])
            high = min(box[3], other[3]) - max(box[1], other[1])
            shared = max(wide, 0) * max(high, 0)
            both = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
            clear &= bool(shared / both <= threshold)
        if clear:
            kept.append(i)
    return [i in kept for i in range(len(boxes))]


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.7])
def test_non_maximum_suppression_is_the_greedy_one(threshold: float) -> None:
    torch.manual_seed(0)
    boxes, codes = random_boxes(6, 120, 12.0), torch.randint(0, 2, (6, 120))
    found = survivors(boxes, codes, threshold)
    for row in range(6):
        wanted = plain_nms(boxes[row].double().numpy(), codes[row].numpy(), threshold)
        assert found[row].tolist() == wanted
    assert 0.05 < found.float().mean() < 0.9


def test_a_chain_of_boxes_is_followed_to_its_end() -> None:
    at = torch.arange(40.0)
    boxes = torch.stack([4 * at, 0 * at, 4 * at + 10, 0 * at + 10], 1)[None]
    assert survivors(boxes, torch.zeros(1, 40, dtype=torch.int64), 0.4)[0].tolist() == [i % 2 == 0 for i in range(40)]


def test_overlap_of_equal_boxes_is_one_and_ciou_falls_with_distance_and_shape() -> None:
    boxes = random_boxes(1, 5)[0]
    torch.testing.assert_close(overlap(boxes, boxes).diagonal(), torch.ones(5))
    torch.testing.assert_close(complete_overlap(boxes, boxes), torch.ones(5), atol=1e-5, rtol=0)
    one = torch.tensor([[0.0, 0, 10, 10]])
    far, farther = torch.tensor([[20.0, 0, 30, 10]]), torch.tensor([[40.0, 0, 50, 10]])
    assert complete_overlap(one, far) > complete_overlap(one, farther)
    wide = torch.tensor([[0.0, 2.5, 10, 7.5]])
    assert complete_overlap(one, wide) < overlap(one, wide)[0, 0]


def test_distances_are_means_of_their_distributions_and_the_loss_is_least_there() -> None:
    wanted = torch.tensor([[[1.25, 3.0, 0.5, 6.75]]])
    low = wanted.floor().long()
    share = wanted - low
    logits = torch.full((1, 1, 4, 8), -30.0)
    logits.scatter_(3, low[..., None], (1 - share).clamp(min=1e-9).log()[..., None])
    logits.scatter_(3, low[..., None] + 1, share.clamp(min=1e-9).log()[..., None])
    centres, strides = torch.tensor([[100.0, 50.0]]), torch.tensor([8.0])
    found = corners(logits, centres, strides)[0, 0]
    torch.testing.assert_close(found, torch.tensor([90.0, 26.0, 104.0, 104.0]), atol=1e-3, rtol=0)
    logits.requires_grad_()
    (slope,) = torch.autograd.grad(distribution_loss(logits, wanted).sum(), logits)
    assert slope.abs().max() < 1e-3


def test_assignment_is_that_of_loops_over_boxes_and_places() -> None:
    torch.manual_seed(1)
    rows, true, labels, top = 3, 4, 2, 3
    grid = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="xy"), -1).flatten(0, 1) * 8 + 4
    scores, boxes, codes = (
        torch.rand(rows, 64, labels),
        random_boxes(rows, true),
        torch.randint(0, labels, (rows, true)),
    )
    found = torch.cat([grid - 10, grid + 10], 1) + torch.randn(rows, 64, 4)
    mask = torch.rand(rows, true) < 0.8
    got = assigned(scores, found, grid, torch.full((64,), 4.0), boxes, codes, mask, top)
    for row in range(rows):
        over = overlap(boxes[row], found[row])
        fit = torch.zeros(true, 64)
        for n in range(true):
            for p in range(64):
                middle, half = (boxes[row, n, :2] + boxes[row, n, 2:]) / 2, (boxes[row, n, 2:] - boxes[row, n, :2]) / 2
                inside = ((grid[p] - middle).abs() < half.clamp(min=4.0)).all() and mask[row, n]
                fit[n, p] = scores[row, p, codes[row, n]] ** 0.5 * over[n, p] ** 6 if inside else 0.0
        chosen = torch.zeros(true, 64, dtype=torch.bool)
        for n in range(true):
            best = fit[n].topk(top).indices
            chosen[n, best] = fit[n, best] > 0
        for p in range(64):
            wanting = [n for n in range(true) if chosen[n, p]]
            if wanting:
                winner = max(wanting, key=lambda n: float(over[n, p]))
                chosen[:, p] = torch.arange(true) == winner
                assert got.box[row, p] == winner
        assert got.taken[row].tolist() == chosen.any(0).tolist()
        for n in range(true):
            if chosen[n].any():
                own = fit[n] * chosen[n]
                wanted = own / own.max() * (over[n] * chosen[n]).max()
                torch.testing.assert_close(got.share[row][chosen[n]], wanted[chosen[n]], atol=1e-5, rtol=1e-4)


def test_the_coarsest_maps_of_at_most_32_pixels_are_looked_at() -> None:
    maps = [(8, 2), (16, 4), (32, 8), (64, 16), (128, 32), (256, 64)]
    assert used(maps, 3) == [2, 3, 4]
    assert used(maps[:2], 3) == [0, 1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("boxes")
    pq.write_table(scenes(100), folder / "scenes.parquet")
    outputs = {"things": {"type": "boxes", "max_boxes": 20, "decoder": {"type": "yolo", "size": "nano"}}}
    return api.train(spec_of(outputs, 10, ["flip"], str(folder / "scenes.parquet")), runs=folder)


def test_it_learns_to_find_things_and_beats_what_looks_at_nothing(run: Any) -> None:
    found = run.metrics["outputs"]["things"]
    assert found["headline"] == "ap50"
    ap50 = found["metrics"]["ap50"]
    assert ap50["value"] > 0.8
    if ap50["value"] < 1:  # rows that are all found say nothing of others, and get no interval
        assert ap50["low"] <= ap50["value"] <= ap50["high"]
    else:
        assert ap50["low"] is None
    board = {r["name"]: r["metrics"]["ap50"]["value"] for r in found["leaderboard"]}
    assert {"product", "usual_boxes", "blobs"} <= set(board)
    assert board["usual_boxes"] < 0.6 < board["product"]
    assert set(found["errors_by_kind"]) == {"missed", "wrong label", "badly placed", "double", "background"}
    assert [r["label"] for r in found["boxes_by_label"]] == run.product.outputs["things"].labels
    text = (run.path / "report.html").read_text()
    assert "errors by kind" in text
    assert "<rect" in text


def test_boxes_are_told_in_pixels_of_the_picture_as_it_came(run: Any) -> None:
    small, large = scenes(6, seed=5), scenes(6, seed=5)
    from io import BytesIO

    from PIL import Image

    doubled = []
    for cell in small.column("photo").to_pylist():
        out = BytesIO()
        picture = Image.open(BytesIO(cell))
        picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST).save(out, "PNG")
        doubled.append(out.getvalue())
    large = large.set_column(0, "photo", pa.array(doubled, pa.binary()))
    one, other = (run.product.predict(_frame(t)).tensors["things"] for t in (small, large))
    sure = one["scores"] > 0.5
    assert sure.any()
    np.testing.assert_allclose(other["boxes"][sure], 2 * one["boxes"][sure], atol=1.5)


def _frame(table: pa.Table) -> Any:
    from dapeng.data.table import Frame

    return Frame(table)


def test_predictions_are_lists_of_boxes_and_json_in_csv(run: Any) -> None:
    table = run.predict(scenes(3, seed=9))
    cells = table.column("things").to_pylist()
    assert all({"label", "score", "x1", "y1", "x2", "y2"} == set(b) for row in cells for b in row)
    header, *lines = _csv(table)
    assert header == "things"
    assert json.loads(lines[0].strip('"').replace('""', '"')) == cells[0]


def test_it_is_evaluated_on_other_rows_and_explained(run: Any) -> None:
    again = run.evaluate(scenes(20, seed=3)).plain() if hasattr(run.evaluate(), "plain") else {}
    assert again["outputs"]["things"]["metrics"]["ap50"]["value"] > 0.7
    rows = run.explain(scenes(2, seed=3), rows=2).plain()["rows"]
    assert "square" in str(rows) or "bar" in str(rows)


def test_the_export_has_the_suppression_inside_and_says_the_same(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    facts = run.export("onnx", tmp_path)
    assert facts["largest_difference"] < 1e-4
    assert [o["name"] for o in facts["outputs"]] == ["things.boxes", "things.scores", "things.codes"]
    assert facts["outputs"][0]["shape"][1:] == [20, 4]


def letterboxed(run: Any) -> Any:
    """The product with the same weights, over pictures of 64 x 48 that are padded to 64 x 64."""
    from dapeng.core.loader import load_spec
    from dapeng.models.build import Choices, build_model
    from dapeng.product.product import NETWORK, Product

    photo, things = run.product.inputs["photo"], run.product.outputs["things"]
    options = photo.options.model_copy(update={"resize": "pad", "size": [64, 64]})
    state = {**photo.state, "resize": "pad", "height": 64, "width": 64}
    inputs = {"photo": type(photo)("photo", options, state, False)}
    outputs = {"things": type(things)("things", things.options, {**things.state, "frame": [64, 64]}, True)}
    spec = load_spec({"data": "none.csv", "inputs": {"photo": "image"}, "outputs": {"things": "boxes"}}).spec
    model = build_model(spec, inputs, outputs, Choices()).eval()
    model.load_state_dict(run.product.model.state_dict())
    return Product(inputs, outputs, model, {"things": {}}, {"things": {NETWORK: 1.0}})


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "torch"])
def test_boxes_of_letterboxed_pictures_are_in_pixels_as_they_came_in_every_export(
    run: Any, form: str, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    from dapeng.core.kinds import exporters
    from dapeng.data.table import Frame

    made, rows = letterboxed(run), Frame(scenes(12, seed=4))
    facts = exporters.members()[form]().export(made, tmp_path / "export", rows)
    assert facts["largest_difference"] < 1e-4
    boxes = np.asarray(made.predict(rows).tensors["things"]["boxes"]).reshape(-1, 4)
    scores = np.asarray(made.predict(rows).tensors["things"]["scores"]).ravel()
    found = boxes[scores > 0.3]
    assert len(found) > 5
    middle = (found[:, :2] + found[:, 2:]) / 2
    assert (middle >= 0).all()
    assert (middle <= [64, 48]).all()


def test_a_server_answers_with_boxes_as_json_tensors_and_csv(run: Any) -> None:
    import base64

    from dapeng.serve import forms, protocol
    from dapeng.serve.engine import Engine
    from dapeng.serve.openapi import prediction_schema
    from dapeng.serve.page import Page

    engine = Engine(run.product, "things")
    picture = base64.b64encode(scenes(1, seed=9).column("photo")[0].as_py()).decode()
    answers = engine.answers(engine.check([{"photo": picture}]).rows)
    boxes = answers[0]["things"]["value"]
    assert boxes == run.predict(scenes(1, seed=9)).column("things").to_pylist()[0]
    (sent,) = protocol.answer(engine, answers, None)["outputs"]
    assert sent["datatype"] == "BYTES"
    assert json.loads(sent["data"][0]) == boxes
    csv = forms.csv_of(answers, {"things": run.product.outputs["things"].joint}).decode()
    assert '""label""' in csv
    assert prediction_schema(engine)["properties"]["things"]["properties"]["value"]["type"] == "array"
    assert '"kinds": {"things": "boxes"}' in Page(engine, ["things"]).html(False).decode()


@pytest.mark.browser
def test_boxes_are_drawn_over_the_picture_that_was_dropped_on_the_page(run: Any) -> None:
    table = scenes(4, seed=9)
    told = run.predict(table).column("things").to_pylist()
    row = max(range(4), key=lambda i: len(told[i]))
    assert len(told[row]) >= 2
    with answered(run.path, table.column("photo")[row].as_py()) as page:
        drawn = page.locator(".answer svg[role=img]")
        assert drawn.get_attribute("viewBox") == "0 0 64 48"
        words = [f"{b['label']} {b['score']:.2f}" for b in told[row]]
        assert sorted(drawn.locator("text").all_text_contents()) == sorted(words)
        scale = drawn.bounding_box()["width"] / 64
        for box, rectangle in zip(told[row], drawn.locator("rect.box").all()):
            seen = [float(rectangle.get_attribute(n)) for n in ("x", "y", "width", "height")]
            wanted = [box["x1"], box["y1"], box["x2"] - box["x1"], box["y2"] - box["y1"]]
            assert seen == pytest.approx(wanted, abs=1e-3)
            assert rectangle.bounding_box()["width"] == pytest.approx(scale * wanted[2], abs=4)
        counts = {f"{sum(b['label'] == n for b in told[row])} {n}" for n in {b["label"] for b in told[row]}}
        assert set(page.locator(".key li").all_inner_texts()) == counts
