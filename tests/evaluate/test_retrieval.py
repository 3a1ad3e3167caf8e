"""Pairs that match: ranks against plain loops, CLIP's loss against its published form, and the whole way."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import dapeng
from dapeng.columns.match import Match, places
from dapeng.core.errors import SpecError
from dapeng.core.kinds import decoders
from dapeng.data.batch import Cells
from dapeng.metrics.base import value_of
from dapeng.metrics.retrieval import MatchView, Recall1, Recall10, ReciprocalRank
from dapeng.nn.features import Features, Widths


def vectors(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    first = draw.normal(size=(rows, 6))
    both = np.stack([first, first + 0.8 * draw.normal(size=(rows, 6))])
    first, second = both / np.linalg.norm(both, axis=2, keepdims=True)
    return first, second


@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_places_are_those_of_plain_loops(at_once: int) -> None:
    first, second = vectors(30)
    keys = np.array([str(i // 2) for i in range(30)])  # two rows of each
    found = places(first, second, keys, at_once)
    for i in range(30):
        like = second @ first[i]
        best = max(like[j] for j in range(30) if keys[j] == keys[i])
        assert found[i] == sum(like[j] > best for j in range(30) if keys[j] != keys[i])


def test_vectors_that_say_nothing_stand_in_the_middle() -> None:
    same = np.ones((11, 3))
    assert places(same, same, np.arange(11).astype(str)).tolist() == [5.0] * 11


def test_figures_follow_from_places_and_do_not_change_with_the_rows_that_are_shown() -> None:
    first, second = vectors(50)
    view = MatchView(first, second, np.arange(50).astype(str))
    there, back = (places(*pair, view.keys) for pair in ((first, second), (second, first)))
    assert value_of(Recall10(), view) == pytest.approx((there < 10).mean())
    assert value_of(ReciprocalRank(), view) == pytest.approx((1 / (1 + there) + 1 / (1 + back)).mean() / 2)
    some = view.take(np.arange(10))  # still told from all fifty
    assert value_of(Recall1(), some) == pytest.approx((there[:10] < 1).mean())


def decoder(**options: Any) -> Any:
    column = Match(embed_dim=4).fitted("y", {"rows": 6, "missing": 0}, True)
    made = decoders.members()["contrastive"].model_validate({"type": "contrastive", "dropout": 0.0, **options})
    return made.build(column, {"a": Widths(pooled=8), "b": Widths(pooled=5)}, None, None)


def features(rows: int) -> dict[str, Features]:
    torch.manual_seed(1)
    return {"a": Features(torch.randn(rows, 8)), "b": Features(torch.randn(rows, 5))}


def test_the_loss_is_that_of_clip() -> None:
    made, read = decoder(temperature=0.1), features(6)
    target = Cells({"keys": torch.arange(6)})
    first, second = made.vectors(read)
    logits = first @ second.T / 0.1
    wanted = (F.cross_entropy(logits, torch.arange(6)) + F.cross_entropy(logits.T, torch.arange(6))) / 2
    torch.testing.assert_close(made.loss(read, target).mean(), wanted)


def test_a_row_without_a_key_is_told_from_nothing_and_nothing_from_it() -> None:
    made, read = decoder(), features(6)
    keys = torch.arange(6)
    with_gap = made.loss(read, Cells({"keys": keys}, torch.arange(6) < 5))
    without = made.loss({n: Features(f.pooled[:5]) for n, f in read.items()}, Cells({"keys": keys[:5]}))  # type: ignore[index]
    torch.testing.assert_close(with_gap[:5], without)
    assert with_gap[5] == 0


def test_rows_of_one_key_are_not_pushed_apart() -> None:
    made, read = decoder(), features(4)
    same = made.loss(read, Cells({"keys": torch.zeros(4, dtype=torch.int64)}))
    torch.testing.assert_close(same, torch.zeros(4), atol=1e-6, rtol=0)


COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (40, 50, 220),
    "yellow": (230, 220, 30),
    "white": (240,) * 3,
}


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Plain pictures and what colour they have."""
    draw, out = np.random.default_rng(seed), []
    for i in range(count):
        name, colour = list(COLOURS.items())[i % len(COLOURS)]
        pixels = np.clip(np.array(colour) + draw.normal(0, 12, (16, 16, 3)), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        out.append({"photo": file.getvalue(), "words": f"a {name} square", "pair": name})
    return out


SPEC: dict[str, Any] = {
    "inputs": {
        "photo": {"type": "image", "augment": "none", "encoder": {"type": "resnet_small", "width": 8}},
        "words": {"type": "text", "tokeniser": "words", "encoder": "bag"},
    },
    "outputs": {"pair": {"type": "match", "embed_dim": 8}},
    "model": "network",
    "train": {"epochs": 12, "batch_size": 20, "threads": 1, "learning_rate": 5e-3},
    "evaluate": {"resamples": 50},
}


def test_the_whole_way_from_pictures_and_words_to_who_belongs_to_whom(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for name, count in (("train", 100), ("validation", 25), ("test", 25)):
        pq.write_table(pa.Table.from_pylist(rows(count, len(name))), tmp_path / f"{name}.parquet")
    data = {n: str(tmp_path / f"{n}.parquet") for n in ("train", "validation", "test")}
    run = dapeng.train({**SPEC, "data": data}, runs=tmp_path / "runs")
    found = run.metrics["outputs"]["pair"]
    assert found["metrics"]["recall_1"]["value"] == 1.0
    assert found["by_chance"] == 1.0  # there are but five different ones
    assert [r["name"] for r in found["leaderboard"] if r["role"] == "baseline"] == ["by_chance"]
    right, wrong = rows(1, 9)[0], {**rows(1, 9)[0], "words": "a blue square"}
    near, far = run.predict([right, wrong]).column("pair").to_pylist()
    assert near > far + 0.3


def test_parts_of_a_batch_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="telling the rows of a batch from each other"):
        dapeng.train(rows(40, 0), **{**SPEC, "train": {**SPEC["train"], "accumulate": 2}}, runs=tmp_path)


def test_two_inputs_are_matched_and_no_third(tmp_path: Path) -> None:
    inputs = {**SPEC["inputs"], "pair2": "category"}
    made = [{**r, "pair2": "x"} for r in rows(20, 0)]
    with pytest.raises(SpecError, match="two inputs are matched, and there are 3"):
        dapeng.train(made, **{**SPEC, "inputs": inputs}, runs=tmp_path)
