"""Networks that no machine here trains are planned, and refused before memory is taken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from dapeng import api
from dapeng.columns.text import Text
from dapeng.core.errors import SpecError
from dapeng.core.spec import Spec
from dapeng.decoders.gpt import SIZES
from dapeng.models.plan import plan

PAPER = {"gpt3-125m": 0.125, "gpt3-350m": 0.35, "gpt3-760m": 0.76, "gpt3-1.3b": 1.3, "gpt3-2.7b": 2.7, "gpt3-6.7b": 6.7}
PAPER |= {"gpt3-13b": 13, "gpt3-175b": 175, "gpt2": 0.124, "gpt2-medium": 0.355, "gpt2-large": 0.774, "gpt2-xl": 1.558}


def planned(size: str, vocabulary: int = 0) -> int:
    """Parameters of a language model of this size, over so many tokens where given."""
    options = Text(
        tokeniser="bytes", max_length=1024 if size.startswith("gpt2") else 2048, decoder={"type": "gpt", "size": size}
    )  # type: ignore[arg-type]
    summary = options.summary(True)
    summary.add(pa.array(["a text"] * 8))
    column: Any = options.fitted("text", summary.result(), True)
    spec = Spec(outputs={"text": {"type": "text"}})  # type: ignore[arg-type]
    found = plan(spec, {}, {"text": column}).trained
    return found + (vocabulary - column.size) * SIZES[size][0]


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes_have_the_parameters_that_their_papers_say(size: str) -> None:
    assert planned(size, 50_257) / 1e9 == pytest.approx(PAPER[size], rel=0.03)


def test_gpt2_has_every_parameter_of_the_published_one() -> None:
    assert planned("gpt2", 50_257) == 124_439_808


def test_a_size_by_name_gives_way_to_what_is_said() -> None:
    options: Any = Text(decoder={"type": "gpt", "size": "gpt3-175b", "num_layers": 2, "embed_dim": 96})  # type: ignore[arg-type]
    found = (options.decoder.num_layers, options.decoder.embed_dim, options.decoder.num_heads)
    assert found == (2, 96, 96)


def test_a_network_that_memory_cannot_hold_is_refused_before_it_is_built(tmp_path: Path) -> None:
    (tmp_path / "lines.csv").write_text("line\n" + "a line of text\n" * 40)
    spec = {
        "data": {"path": str(tmp_path / "lines.csv"), "split": {"by": "random"}},
        "outputs": {"line": {"type": "text", "tokeniser": "bytes", "decoder": {"type": "gpt", "size": "gpt3-175b"}}},
    }
    began = time.process_time()
    with pytest.raises(SpecError, match=r"173,\d+,\d+,\d+ parameters, 69\d GB of weights; training takes 2.7\d TB"):
        api.train(spec, runs=tmp_path / "runs")
    assert time.process_time() - began < 30
    assert not list((tmp_path / "runs").rglob("weights.safetensors"))
    assert torch.get_default_device().type == "cpu"
