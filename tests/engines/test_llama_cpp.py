"""llama.cpp writes what the run's network writes: alone, beside others that come and go, and out of an exported file."""

from __future__ import annotations

import functools
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from dapeng import api
from dapeng.core.errors import RunError
from dapeng.engines import llama_cpp as engine
from dapeng.engines.choose import choose
from dapeng.engines.llama_cpp import LlamaCpp

pytest.importorskip("gguf", reason="needs gguf (dapeng[llama])")
library = pytest.importorskip("llama_cpp", reason="needs llama-cpp-python (dapeng[llama])")

SENTENCES = ["the cat sat on the mat. ", "a dog runs in the park. ", "今天天气很好。", "birds sing 😀 over 12 trees. "]
WIDE = {"embed_dim": 64, "num_layers": 2, "num_heads": 4, "dropout": 0.0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("bytes", {"type": "llama", **WIDE, "kv_heads": 2, "width": 96, "tie": False}),
    "gpt": ("bytes", {"type": "gpt", **WIDE}),
    "qwen3": ("characters", {"type": "llama", **WIDE, "qk_norm": True, "width": 96}),
    "qwen2": ("bpe", {"type": "llama", **WIDE, "qkv_bias": True, "width": 96}),
    "mixtral": ("wordpiece", {"type": "llama", **WIDE, "experts": 3, "width": 64}),
}
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "ungated": ("bytes", {"type": "llama", **WIDE, "gated": False}),
    "gelu": ("bytes", {"type": "llama", **WIDE, "activation": "gelu"}),
    "recurrent": ("bytes", {"type": "gru", "embed_dim": 32, "hidden": 32}),
}


@functools.cache
def run(name: str) -> Any:
    """A language model that was taught a few sentences, so that what it writes hangs on what was before."""
    tokeniser, decoder = {**MODELS, **REFUSED}[name]
    folder = Path(tempfile.mkdtemp(prefix="dapeng-tests-"))
    draw = torch.Generator().manual_seed(0)
    rows = ["".join(SENTENCES[i] for i in torch.randint(0, 4, (3,), generator=draw).tolist()) for _ in range(96)]
    (folder / "said.jsonl").write_text("".join(json.dumps({"said": r}) + "\n" for r in rows), encoding="utf-8")
    spec = {
        "data": {"path": str(folder / "said.jsonl"), "split": {"by": "random"}},
        "outputs": {"said": {"type": "text", "tokeniser": tokeniser, "max_length": 128, "decoder": decoder}},
        "model": "network",
        "train": {"batch_size": 4, "learning_rate": 5e-3, "threads": 1, "epochs": 8},
        "evaluate": {"baselines": [], "resamples": 0},
    }
    with torch.inference_mode(False):
        return api.train(spec, runs=folder / "runs")


@functools.cache
def steps(name: str, weights: str = "fp32") -> Any:
    return choose(run(name).product, engine="llama.cpp", weights=weights).model


def writer(name: str) -> Any:
    return run(name).product.model.decoders["said"].writer


def prompts(name: str, count: int = 3) -> list[list[int]]:
    column = run(name).product.outputs["said"]
    return [column.asked(t) for t in ("the cat sat", "今天", "birds sing 😀 over 12 trees. a dog", "", "a")][:count]


def batch(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids, torch.tensor([len(r) for r in rows])


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_logits_of_ragged_prompts_and_of_steps_behind_them_are_the_network_s(name: str) -> None:
    ids, lengths = batch(prompts(name))
    theirs, ours = steps(name), writer(name)
    a, b = theirs.start(3, 64), ours.start(3, 64)
    for _ in range(4):
        found, wanted = theirs.step(ids, a, lengths), ours.step(ids, b, lengths)
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=1e-3)  # keys and values are kept in half precision
        ids, lengths = wanted.argmax(1)[:, None], None


@pytest.mark.parametrize("name", MODELS)
def test_the_same_text_comes_greedily_from_both_engines(name: str) -> None:
    asked = ["the cat", "今天", "birds sing"]
    ours, theirs = (
        run(name).write(asked, max_tokens=40, temperature=0, engine=e, weights="fp32") for e in ("native", "llama.cpp")
    )
    assert theirs == ours
    assert any(len(t) > 20 for t in ours)


@torch.inference_mode()
def test_rows_leave_come_and_are_doubled_without_a_trace() -> None:
    model, rows = steps("llama"), prompts("llama", 5)
    ids, lengths = batch(rows[:3])
    state = model.start(3, 64)
    model.step(ids, state, lengths)
    state = state.take(torch.tensor([2, 0, 0]))
    more = model.start(2, 64)
    model.step(*_with(batch(rows[3:5]), more))
    state = state.joined(more)
    found = model.step(torch.full((5, 1), 40), state)
    for row, behind in zip(found, [rows[2], rows[0], rows[0], rows[3], rows[4]]):
        alone = model.start(1, 64)
        wanted = model.step(torch.tensor([[*behind, 40]]), alone)[0]
        torch.testing.assert_close(row, wanted, atol=2e-3, rtol=1e-3)


def _with(found: tuple[torch.Tensor, torch.Tensor], state: Any) -> tuple[torch.Tensor, Any, torch.Tensor]:
    return found[0], state, found[1]


@torch.inference_mode()
def test_what_outgrows_its_room_takes_what_was_read_along() -> None:
    model = choose(run("llama").product, engine="llama.cpp", weights="fp32").model
    read = torch.randint(10, 90, (2, 700), generator=torch.Generator().manual_seed(0))
    state = model.start(2, 8)
    model.step(read[:, :200], state)
    first = model._room
    model.step(read[:, 200:], state)  # more than is read at once, and than there is room for
    assert model._room > first
    found = model.step(torch.full((2, 1), 40), state)
    fresh = model.start(2, 1024)
    wanted = model.step(torch.cat([read, torch.full((2, 1), 40)], 1), fresh)
    torch.testing.assert_close(
        found, wanted, atol=0.05, rtol=0.02
    )  # another order of sums, over many tokens in half precision


def test_sequences_are_given_back() -> None:
    model = choose(run("llama").product, engine="llama.cpp", weights="fp32").model
    state = model.start(3, 16).take(torch.tensor([1]))
    assert list(model._held) == [1]
    del state
    other = model.start(1, 16)  # what nobody holds is forgotten with the next call
    assert list(model._held) == other.rows == [0]


@pytest.mark.parametrize(("weights", "most"), [("fp16", 0.01), ("int8", 0.06), ("int4", 0.6)])
@torch.inference_mode()
def test_small_weights_say_nearly_the_same(weights: str, most: float) -> None:
    ids, lengths = batch(prompts("llama"))
    small, full = steps("llama", weights), writer("llama")
    found = small.step(ids, small.start(3, 64), lengths)
    wanted = full.step(ids, full.start(3, 64), lengths)
    error = (found - wanted).abs().mean() / wanted.std()
    assert 0 < error < most


@pytest.mark.parametrize("name", ["llama", "gpt"])
def test_an_exported_file_goes_on_in_llama_cpp_with_the_same_text(name: str, tmp_path: Path) -> None:
    found = run(name).export("gguf", tmp_path / "model.gguf")
    assert found["texts_with_other_tokens"] == 0
    for text in ("the cat", "今天", "birds sing 😀"):
        model = library.Llama(str(tmp_path / "model.gguf"), n_ctx=128, n_threads=1, verbose=False)
        ids = model.tokenize(text.encode(), add_bos=True)
        assert ids == run(name).product.outputs["said"].asked(text)
        written = model.create_completion(ids, max_tokens=40, temperature=0)["choices"][0]["text"]
        assert written == run(name).write(text, max_tokens=40, temperature=0, engine="native", weights="fp32")


def test_mixtral_s_experts_lie_in_one_tensor_as_llama_cpp_has_them(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    from dapeng.export import gguf_file
    from dapeng.export.language_model import LanguageModel

    config, tensors = LanguageModel(run("mixtral").product).published()
    gguf_file.write(tmp_path / "m.gguf", config, tensors)
    found = {t.name: t.data for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    experts = writer("mixtral").stack.blocks[1].mlp.experts
    assert torch.equal(torch.tensor(found["blk.1.ffn_up_exps.weight"]), torch.stack([e.up.weight for e in experts]))


def test_auto_takes_it_for_large_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(run("llama").product).name == "native"
    monkeypatch.setattr(engine, "LARGE", 1000)
    found = choose(run("llama").product)
    assert (found.name, found.weights) == ("llama.cpp", "fp16")
    assert choose(run("llama").product, weights="bf16").name == "native"  # it has no such weights


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ungated", "transformers has no model made of such blocks"),
        ("gelu", "llama.cpp's llama has the activation silu, and this one gelu"),
        ("recurrent", "written by a recurrent network"),
    ],
)
def test_networks_that_llama_cpp_has_not_are_refused_and_written_by_the_native_engine(name: str, said: str) -> None:
    with pytest.raises(RunError, match=f"llama.cpp: .*{said}"):
        choose(run(name).product, engine="llama.cpp")
    assert choose(run(name).product).name == "native"


def test_what_it_can_t_write_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    product = run("mixtral").product
    with pytest.raises(RunError, match=r"there is no weights of llama\.cpp 'bf16'"):
        choose(product, engine="llama.cpp", weights="bf16")
    monkeypatch.setattr(engine, "GROUP", 48)
    with pytest.raises(RunError, match="int4 weights want widths that are multiples of 48, and 64 is none"):
        choose(product, engine="llama.cpp", weights="int4")
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    assert "dapeng[llama]" in LlamaCpp().refusal(product)
    monkeypatch.setattr(engine, "LARGE", 1000)
    assert choose(product).name == "native"


def test_threads_that_write_at_once_get_what_they_would_get_alone() -> None:
    found, asked = run("gpt"), ["the cat", "今天", "birds sing", "a dog runs"]
    settings: dict[str, Any] = {"max_tokens": 30, "temperature": 0, "engine": "llama.cpp", "weights": "fp32"}
    wanted = [found.write(p, **settings) for p in asked]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(lambda p: found.write(p, **settings), asked)) == wanted


@torch.inference_mode()
def test_a_context_that_finds_no_memory_leaves_the_one_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids = choose(run("llama").product, engine="llama.cpp", weights="fp32").model, torch.tensor([[1, 40, 41]])
    wanted = model.step(ids, model.start(1, 8))
    state = model.start(1, 8)
    with monkeypatch.context() as patch:
        patch.setattr(model, "library", _Without(model.library, "llama_init_from_model"))
        with pytest.raises(RunError, match="found no memory for 128 texts"):
            model.start(64, 8)
    assert torch.equal(model.step(ids, state), wanted)
    with pytest.raises(RunError, match=r"writes 256 texts at once, not 30"):
        model.start(300, 8)
    with pytest.raises(ValueError, match="one token of each"):
        model.step(ids, state, torch.tensor([0]))


class _Without:
    """The library, but that one of its functions finds nothing."""

    def __init__(self, library: Any, name: str):
        self.library, self.name = library, name

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name == self.name else getattr(self.library, name)


def test_the_memory_of_a_large_batch_is_not_kept() -> None:
    model = choose(run("llama").product, engine="llama.cpp", weights="fp32").model
    del_me = model.start(64, 256)
    assert model._rows * model._room > 10_000
    del del_me
    model.start(1, 8)
    assert model._rows == 1


def test_a_package_that_is_too_old_and_a_full_disk_are_said_and_auto_goes_on_natively(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    product = run("llama").product
    monkeypatch.setattr(engine, "LARGE", 1000)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(engine.gguf_file, "write", full)
        with pytest.raises(RunError, match=r"could not be written to .*: No space left on device"):
            choose(product, engine="llama.cpp")
        assert choose(product).name == "native"
        assert "llama.cpp is left out: the model in fp32" in capsys.readouterr().err
    monkeypatch.setattr(engine, "bindings", object)
    with pytest.raises(RunError, match="too old: pip install -U"):
        choose(product, engine="llama.cpp")
