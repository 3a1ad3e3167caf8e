"""Texts that are longer than what is learnt from at a time, and tokenisers that keep every letter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.spelling import SMALL, WORDS

from dapeng import api
from dapeng.data.batch import Cells
from dapeng.metrics.base import value_of
from dapeng.metrics.texts import TextView
from dapeng.nn.features import Features


def column_of(limit: int, texts: list[str]) -> tuple[Any, Cells]:
    """A column of bytes with at most so many tokens of a text, and these texts as a batch."""
    import pyarrow as pa

    from dapeng.columns.text import Text

    options = Text.model_validate({"tokeniser": "bytes", "max_length": limit})
    summary = options.summary(True)
    summary.add(pa.array(texts))
    column: Any = options.fitted("y", summary.result(), True)
    found = column.encode(pa.array(texts))
    assert found.lengths is not None
    sizes = torch.from_numpy(found.lengths)
    ids = torch.nn.utils.rnn.pad_sequence(torch.from_numpy(found.tensors["ids"]).split(sizes.tolist()), True)
    return column, Cells({"ids": ids, "mask": torch.arange(ids.shape[1]) < sizes[:, None]})


def decoder_of(column: Any, width: int | None) -> Any:
    from dapeng.decoders.llama import Llama
    from dapeng.models.build import Tables
    from dapeng.nn.features import Widths

    torch.manual_seed(0)
    options = Llama(embed_dim=16, num_layers=1, num_heads=2, dropout=0.0)
    loss = column.options.loss
    return options.build(column, None if width is None else Widths(tokens=width), Tables(), loss).eval()


def test_beside_inputs_the_beginning_of_a_long_text_is_learnt_openly_and_no_end() -> None:
    column, cells = column_of(4, ["hello world", "hey"])
    assert column.remarks() == ["1 or more texts have more than 4 tokens: beside inputs, what follows is not learnt"]
    decoder = decoder_of(column, 8)
    said = Features(tokens=torch.randn(2, 3, 8))
    assert decoder.count(cells).tolist() == [4, 4]  # four letters; three and the end
    _, of_short = column_of(4, ["hell", "hey"])
    with torch.no_grad():
        losses = decoder.loss(said, cells)
        other = decoder.loss(said, of_short)
    torch.testing.assert_close(losses[1], other[1])
    assert other[0] == losses[0]


@pytest.mark.parametrize("window", [4, 5, 1])
def test_without_inputs_a_long_text_is_judged_as_it_is_written_each_token_behind_half_a_window(window: int) -> None:
    column, cells = column_of(window, ["hello world", "hey", "1234567"])
    decoder = decoder_of(column, None)
    assert decoder.count(cells).tolist() == [12, 4, 8]
    half = max(1, window // 2)
    ids, mask = cells["ids"].long(), cells["mask"]
    wanted = torch.zeros(3)
    with torch.no_grad():
        for row in range(3):
            for place in range(1, int(mask[row].sum())):  # one token at a time
                start = max(0, -(-(place - window) // half) * half)
                part = ids[row : row + 1, start : place + 1]
                wanted[row] += decoder.writer.losses(part, torch.ones_like(part, dtype=torch.bool))[0, -1]
        found = decoder.loss(None, cells)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_language_model_learns_from_windows_of_texts_laid_behind_each_other(tmp_path: Path) -> None:
    """Long texts and short ones: the figure of a window is about that of its letters; and resuming changes no bit."""
    path = tmp_path / "texts.jsonl"
    draw = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(60):
            said = " ".join(WORDS[d] for d in draw.integers(0, 10, int(draw.integers(1, 200))))
            file.write(json.dumps({"text": said}) + "\n")
    spec = {
        "data": {"path": str(path), "split": {"by": "random", "train": 0.6, "test": 0.2, "validation": 0.2}},
        "outputs": {"text": {"type": "text", "tokeniser": "bytes", "max_length": 64, "decoder": {"type": "llama", **SMALL}}},
        "model": "network",
        "train": {"batch_size": 8, "learning_rate": 3e-3, "threads": 1, "epochs": 6},
        "evaluate": {"baselines": [], "resamples": 50},
    }  # fmt: skip
    run = api.train(spec, runs=tmp_path / "runs")
    log = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    tokens = sum(len(json.loads(t)["text"]) + 2 for t in path.read_text(encoding="utf-8").splitlines())
    steps = max(line["step"] for line in log if "step" in line)
    assert steps < 6 * tokens / (8 * 64) < 1.9 * steps  # about 60 % of the tokens, each once an epoch
    assert run.metrics["outputs"]["text"]["metrics"]["bits_per_byte"]["value"] < 1.2


def test_a_small_unigram_vocabulary_holds_every_letter() -> None:
    import pyarrow as pa

    from dapeng.columns.text import Text

    pytest.importorskip("sentencepiece", reason="needs sentencepiece (dapeng[text])")
    options = Text.model_validate({"tokeniser": "unigram"})
    summary = options.summary(True)
    summary.add(pa.array(["".join(chr(0x4E00 + 7 * i + j) for j in range(30)) for i in range(60)]))
    column = options.fitted("y", summary.result(), True)
    assert column.decode({"ids": [column.encode(pa.array(["一丁"])).tensors["ids"]]}) == ["一丁"]
    empty = options.summary(True)
    empty.add(pa.array([None, ""], pa.string()))
    assert options.fitted("y", empty.result(), True).size > 256


def test_characters_keep_every_one_that_there_is_and_no_bits_are_won_by_those_that_are_unknown() -> None:
    import pyarrow as pa

    from dapeng.columns.text import Text
    from dapeng.metrics.texts import BitsPerByte

    options = Text.model_validate({"tokeniser": "characters"})
    summary = options.summary(True)
    texts = ["".join(chr(0x4E00 + 31 * i + j) for j in range(31)) for i in range(100)]
    summary.add(pa.array(texts))
    column = options.fitted("y", summary.result(), True)
    ids = [column.encode(pa.array([t])).tensors["ids"] for t in texts]
    assert column.decode({"ids": ids[:1]}) == texts[:1]
    assert column.truth({"ids": ids}).tolist() == texts
    strange = column.truth({"ids": [column.encode(pa.array(["一😀"])).tensors["ids"]]})
    assert strange.tolist() == ["一\ufffd"]
    view = TextView(strange, strange, np.array([3 * np.log(2)]), np.ones(1), False)
    assert value_of(BitsPerByte(), view) == pytest.approx(1.0)  # three bits for the three bytes that are known


@pytest.mark.parametrize(
    "text", ["a\x00b", "😀 👩‍👩‍👧", "你好，世界", "مرحبا بالعالم", "e\u0301 é", "line\nbreak\ttab", "\ufeffbom"]
)
@pytest.mark.parametrize("tokeniser", ["bpe", "characters", "bytes"])
def test_strange_letters_come_back_as_they_were(text: str, tokeniser: str) -> None:
    import pyarrow as pa

    from dapeng.columns.text import Text

    options = Text.model_validate({"tokeniser": tokeniser})
    summary = options.summary(True)
    summary.add(pa.array([text, "plain text"] * 5))
    column = options.fitted("y", summary.result(), True)
    assert column.decode({"ids": [column.encode(pa.array([text])).tensors["ids"]]}) == [text]
