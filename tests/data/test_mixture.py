"""Sources in stated proportions: the shares of an epoch, every row before any twice, the same after a stop, told in the report."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dapeng import api
from dapeng.core.errors import DataError, SpecError
from dapeng.data.feed import TableFeed
from dapeng.data.groups import Group
from dapeng.data.mixture import Mixture
from dapeng.data.packed import PackedFeed
from dapeng.data.stored import Store, Stored

SIZES = [300, 60, 40]


def mixed(weights: list[float], sizes: list[int] = SIZES) -> tuple[Mixture, np.ndarray]:
    ends = np.cumsum(sizes)
    rows = np.setdiff1d(np.arange(ends[-1]), [0, 7, 350])  # some test
    return Mixture([f"source {i}" for i in range(len(sizes))], weights, ends), rows


def test_an_epoch_has_the_stated_shares_to_a_row() -> None:
    mixture, rows = mixed([1, 2, 1])
    for epoch in range(5):
        drawn = mixture.rows(rows, 3, epoch)
        assert len(drawn) == len(rows)
        assert np.isin(drawn, rows).all()
        counts = np.bincount(mixture.sources(drawn), minlength=3)
        assert np.abs(counts - np.array([0.25, 0.5, 0.25]) * len(rows)).max() <= 1
        np.testing.assert_array_equal(drawn, mixture.rows(rows, 3, epoch))
    assert not np.array_equal(mixture.rows(rows, 3, 0), mixture.rows(rows, 4, 0))


def test_every_row_of_a_source_comes_before_one_comes_again() -> None:
    mixture, rows = mixed([1, 2, 1])
    total = np.zeros(int(rows.max()) + 1, np.int64)
    for epoch in range(12):
        total += np.bincount(mixture.rows(rows, 0, epoch), minlength=len(total))
        for source in range(3):
            own = total[rows[mixture.sources(rows) == source]]
            assert own.max() - own.min() <= 1
    assert total[rows].min() >= 3


def table(rows: int, mixture: Mixture) -> Store:
    group = Group("x", ("x",), False)
    return Store(
        rows, {"x": Stored(group, {}, {"values": np.arange(rows, dtype=np.float32)})}, [group], [], mixture=mixture
    )


def test_batches_of_a_table_are_in_proportion_and_a_function_of_the_position() -> None:
    mixture, rows = mixed([1, 2, 1])
    store = table(400, mixture)
    feed = TableFeed(store, rows, 10, seed=5)
    steps = feed.steps(0)
    every = [next(steps)[0] for _ in range(3 * feed.steps_per_epoch)]
    for epoch in range(3):
        some = torch.cat([b.rows for b in every[epoch * feed.steps_per_epoch : (epoch + 1) * feed.steps_per_epoch]])
        np.testing.assert_array_equal(np.sort(some.numpy()), mixture.rows(rows, 5, epoch))
    for position in (0, 17, feed.steps_per_epoch + 3, 2 * feed.steps_per_epoch):
        again = next(TableFeed(store, rows, 10, seed=5).steps(position))[0]
        assert torch.equal(again.rows, every[position].rows)
    halves = [next(TableFeed(store, rows, 5, seed=5, rank=r, world=2).steps(21))[0].rows for r in (0, 1)]
    assert torch.equal(torch.cat(halves), every[21].rows)


def packed_texts() -> tuple[Stored, Mixture, np.ndarray]:
    """Texts of other lengths; each token is the number of its source."""
    draw = np.random.default_rng(0)
    lengths = np.concatenate([draw.integers(2, 90, n) for n in SIZES])
    ids = np.repeat(np.repeat(np.arange(3), SIZES), lengths).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    mixture, rows = mixed([1, 2, 1])
    return Stored(Group("t", ("t",), False), {}, {"ids": ids}, None, offsets), mixture, rows


def test_windows_of_texts_are_in_proportion_by_tokens() -> None:
    stored, mixture, rows = packed_texts()
    feed = PackedFeed("t", stored, rows, 32, 4, seed=1, mixture=mixture)
    steps = feed.steps(0)
    for _ in range(4):
        ids = torch.cat([next(steps)[0]["t"]["ids"][:, 1:].flatten() for _ in range(feed.steps_per_epoch)])
        shares = torch.bincount(ids, minlength=3) / len(ids)
        np.testing.assert_allclose(shares.numpy(), [0.25, 0.5, 0.25], atol=0.015)


def test_windows_of_a_mixture_are_a_function_of_the_position_and_ranks_share_them() -> None:
    stored, mixture, rows = packed_texts()

    def at(position: int, **ranks: int) -> torch.Tensor:
        size = 4 // ranks.get("world", 1)
        return next(PackedFeed("t", stored, rows, 32, size, seed=1, mixture=mixture, **ranks).steps(position))[0]["t"][
            "ids"
        ]

    steps = PackedFeed("t", stored, rows, 32, 4, seed=1, mixture=mixture).steps(0)
    for position in range(200):
        wanted = next(steps)[0]["t"]["ids"]
        if position in (0, 50, 137, 199):
            assert torch.equal(at(position), wanted)
            assert torch.equal(torch.cat([at(position, rank=r, world=2) for r in (0, 1)]), wanted)


def files(folder: Path) -> None:
    """Two files whose labels are told by other signs of x."""
    draw = np.random.default_rng(0)
    for name, rows, sign in (("a.csv", 900, 1), ("b.csv", 90, -1)):
        with (folder / name).open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["x", "z", "y"])
            for x in draw.normal(size=rows):
                out.writerow([x, sign, "up" if x * sign > 0 else "down"])


def spec(**more: Any) -> dict[str, Any]:
    return {
        "inputs": {"x": "number", "z": "number"},
        "outputs": {"y": "category"},
        "model": "network",
        "train": {"epochs": 3, "threads": 1},
        "evaluate": {"baselines": [], "resamples": 0},
        **more,
    }


def test_a_mixture_is_trained_told_resumed_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(tmp_path)
    parts = [{"data": str(tmp_path / "a.csv"), "weight": 1}, {"data": [str(tmp_path / "b.csv")], "weight": 3}]
    asked = spec(data={"mixture": parts, "split": {"by": "random"}})
    run = api.train(asked, runs=tmp_path / "runs")
    told = capsys.readouterr().err
    assert re.search(
        r"an epoch is a\.csv 25\.0% \(198 rows, 0\.2\d times what it has\), b\.csv 75\.0% \(594 rows, \d\.", told
    )
    assert "b.csv 75.0%" in (run.path / "report.html").read_text(encoding="utf-8")
    assert run.evaluate()["outputs"]["y"]["rows"] > 50


def test_a_mixture_may_stand_beside_rows_to_test_on_and_files_of_other_kinds(tmp_path: Path) -> None:
    files(tmp_path)
    with (tmp_path / "c.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"x": float(i), "z": 1.0, "y": "up" if i > 0 else "down"}) + "\n" for i in range(-50, 50)
        )
    data = {
        "mixture": [{"data": str(tmp_path / "a.csv")}, {"data": str(tmp_path / "c.jsonl"), "weight": 2}],
        "test": str(tmp_path / "b.csv"),
    }
    run = api.train(spec(data=data), runs=tmp_path / "runs")
    assert run.metrics["rows"] == 90


def test_what_is_wrong_with_a_mixture_is_said(tmp_path: Path) -> None:
    files(tmp_path)
    a = {"data": str(tmp_path / "a.csv")}
    with pytest.raises(SpecError, match="mixture is what trains"):
        api.train(spec(data={"mixture": [a], "path": str(tmp_path / "b.csv")}), runs=tmp_path / "runs")
    with pytest.raises(SpecError, match="weight"):
        api.train(spec(data={"mixture": [{**a, "weight": 0}]}), runs=tmp_path / "runs")
    (tmp_path / "other.csv").write_text("x,q\n1,2\n")
    with pytest.raises(DataError, match="has no column"):
        api.train(spec(data={"mixture": [a, {"data": str(tmp_path / "other.csv")}]}), runs=tmp_path / "runs")
