"""What a fusion gives each input is 1 in sum, is less for noise, and is told in explain.json, metrics.json and the report."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
import torch

import dapeng
from dapeng.core.kinds import fusions
from dapeng.explain.explain import explain
from dapeng.explain.shares import fusion_shares
from dapeng.nn.features import Features, Widths
from dapeng.report.write import write_report
from trained import digits, make


def signal() -> pa.Table:
    """Two numbers that decide, and a label that tells nothing."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(1000, 3))
    y = np.where(x[:, 0] + x[:, 1] + 0.3 * x[:, 2] > 0, "a", "b")
    return pa.table({"noise": draw.choice(["u", "v", "w"], 1000), "x": x[:, 0], "z": x[:, 1], "y": y})


INPUTS = {"noise": "category", "x": "number", "z": "number"}


@pytest.mark.parametrize("tag", ["gated", "attention"])
def test_an_input_that_tells_nothing_has_the_smaller_share(tag):
    folder, product, _ = make(f"shares {tag}", signal(), INPUTS, {"y": "category"}, None, 6, fusion={"type": tag})
    explained = explain(folder, product, None, 1)
    found = explained.facts["fusion"]
    assert [i["columns"] for i in found["inputs"]] == [["x", "z"], ["noise"]]
    first, second = (i["share"] for i in found["inputs"])
    assert first + second == pytest.approx(1, abs=1e-5)
    assert first > second + 0.05
    assert found["rows"] == 200
    assert "share of each input" in explained.text()
    assert folder.read_json("explain.json")["fusion"] == found
    page = write_report(folder).read_text(encoding="utf-8")
    assert "What the network gives each input" in page
    row = re.search(r"<tr>(?:(?!</tr>).)*noise(?:(?!</tr>).)*%.*?</tr>", page, re.DOTALL)
    assert row is not None
    assert f"{second:.1%}" in row.group()


def test_noise_beside_pictures_has_the_smaller_gate():
    draw = np.random.default_rng(0)
    table = digits(500)
    lines = [" ".join(draw.choice(["a", "b", "c", "d"], 5)) for _ in range(len(table))]
    inputs = {"line": "text", "image": "image"}
    made = make("gates", table.append_column("line", pa.array(lines)), inputs, {"label": "category"}, None, 6)
    assert "fusion" not in explain(made[0], made[1], None, 0).facts, "side by side, nothing is weighed"
    gated = {"type": "gated"}
    folder, product, _ = make("gates", made[2], inputs, {"label": "category"}, None, 6, fusion=gated)
    found = explain(folder, product, None, 0).facts["fusion"]
    assert [i["columns"] for i in found["inputs"]] == [["image"], ["line"]]


def test_a_training_leaves_the_shares_of_the_test_rows_in_its_metrics(tmp_path):
    asked = {"inputs": INPUTS, "outputs": {"y": "category"}, "model": "network", "fusion": {"type": "gated"}}
    run = dapeng.train(signal(), **asked, train={"epochs": 2}, evaluate={"baselines": []}, runs=tmp_path)
    found = run.metrics["fusion"]
    assert found["rows"] == min(run.metrics["rows"], 500)
    assert sum(i["share"] for i in found["inputs"]) == pytest.approx(1, abs=1e-5)
    assert "What the network gives each input" in (run.path / "report.html").read_text(encoding="utf-8")


def test_a_product_without_a_network_has_no_shares():
    folder, product, table = make(
        "alone", signal(), INPUTS, {"y": "category"}, {"linear": 1.0}, fusion={"type": "gated"}
    )
    assert "fusion" not in explain(folder, product, None, 0).facts
    assert product.model is None
    gated = make("one", signal(), {"x": "number"}, {"y": "category"}, None, 1, fusion={"type": "gated"})[1]
    from dapeng.data.table import Frame

    assert fusion_shares(gated, gated.store(Frame(table)), np.arange(10)) is None, "a single input has no rival"


@pytest.mark.parametrize("tag", sorted(fusions.members()))
def test_shares_are_a_distribution_over_the_inputs_of_every_row(tag):
    torch.manual_seed(0)
    widths = {"a": Widths(pooled=3, tokens=5), "b": Widths(pooled=4)}
    fusion = fusions.members()[tag](hidden=[], dropout=0.0).build(widths, {"b"}).eval()
    parts = {
        "a": Features(pooled=torch.randn(6, 3), tokens=torch.randn(6, 2, 5), mask=torch.tensor([[True, False]] * 6)),
        "b": Features(pooled=torch.randn(6, 4), present=torch.tensor([True, False] * 3)),
    }
    shares = fusion.shares(parts)
    assert (shares is None) == (not fusion.shares_are)
    if shares is not None:
        assert shares.shape == (6, 2)
        torch.testing.assert_close(shares.sum(1), torch.ones(6))
        assert (shares >= 0).all()


def test_attention_rolled_out_over_one_block_is_that_of_the_summary():
    torch.manual_seed(0)
    widths = {"a": Widths(pooled=3), "b": Widths(pooled=3)}
    fusion = (
        fusions.members()["attention"](embed_dim=8, num_layers=1, num_heads=2, hidden=[]).build(widths, set()).eval()
    )
    parts = {n: Features(pooled=torch.randn(4, 3)) for n in widths}
    x, _ = fusion.sequence(parts)
    block = fusion.blocks[0]
    q, k, _ = block.attention.qkv(block.norm1(x)).chunk(3, -1)
    heads = [(q[..., h : h + 4] @ k[..., h : h + 4].transpose(1, 2) / 2).softmax(-1)[:, 0, 1:] for h in (0, 4)]
    mean = (heads[0] + heads[1]) / 2
    torch.testing.assert_close(fusion.shares(parts), mean / mean.sum(1, keepdim=True))
