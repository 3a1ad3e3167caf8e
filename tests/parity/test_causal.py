"""The stack that writes is GPT-2, Llama, Qwen and Mixtral of transformers: logits and gradients with copied weights, both ways."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from dapeng.generate.beams import beam_search
from dapeng.nn.causal import Cache, Causal, cached_view, packed_view, plain_view
from dapeng.nn.writer import Writer
from dapeng.public.families import family_of

transformers = pytest.importorskip("transformers", reason="parity needs transformers (dapeng[hf])")
SIZES = {"vocab_size": 61, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"vocab_size": 61, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "llama": ("Llama", {**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": False}),
    "llama-tied": ("Llama", {**SIZES, "num_key_value_heads": 4, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {**SIZES, "num_key_value_heads": 2, "sliding_window": None}),
    "qwen2": ("Qwen2", {**SIZES, "num_key_value_heads": 2}),
    "qwen3": ("Qwen3", {**SIZES, "num_key_value_heads": 2, "head_dim": 16}),
    "mixtral": ("Mixtral", {**SIZES, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}),
}


def public(name: str) -> Any:
    torch.manual_seed(0)
    kind, sizes = CASES[name]
    config = getattr(transformers, f"{kind}Config")(**sizes, attn_implementation="eager")
    model = getattr(transformers, "GPT2LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def saved(model: Any, tmp_path: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """config.json and tensors as they lie on disk, which is not always how they lie in memory."""
    from safetensors.torch import load_file

    model.save_pretrained(tmp_path)
    return model.config.to_dict(), load_file(tmp_path / "model.safetensors")


def read(config: dict[str, Any], state: dict[str, torch.Tensor]) -> tuple[Causal, torch.Tensor, torch.Tensor]:
    family = family_of(config["model_type"])
    assert family is not None
    shape = family.shape_of(config)
    tensors = family.ours(state, shape)
    table = tensors.pop("table")
    head = tensors.pop("head", table)
    stack = Causal(shape).eval()
    stack.load_state_dict(tensors)
    return stack, table.requires_grad_(), head.requires_grad_()


@pytest.mark.parametrize("name", CASES)
def test_logits_and_gradients_are_those_of_transformers(name: str, tmp_path: Any) -> None:
    model = public(name)
    config, state = saved(model, tmp_path)
    stack, table, head = read(config, state)
    ids = torch.randint(0, 61, (3, 11))
    logits = F.linear(stack(F.embedding(ids, table), plain_view(3, 11)), head)
    wanted = model(ids).logits
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    F.cross_entropy(wanted[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    inside = model.get_input_embeddings().weight.grad
    mine = table.grad if table.grad is not None else torch.zeros_like(table)
    if head is not table and model.config.tie_word_embeddings:
        mine = mine + head.grad
    torch.testing.assert_close(mine, inside, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_weights_go_back_to_where_they_came_from(name: str, tmp_path: Any) -> None:
    config, state = saved(public(name), tmp_path)
    family = family_of(config["model_type"])
    assert family is not None
    shape = family.shape_of(config)
    back = family.theirs(family.ours(state, shape), shape)
    tied = "lm_head.weight" not in back
    again = family.config_of(shape, 61, 64, tied)
    assert family.shape_of(again) == shape
    for tensor_name, tensor in back.items():
        torch.testing.assert_close(tensor, state[tensor_name], rtol=0, atol=0)
    missing = set(state) - set(back) - {"lm_head.weight"}
    assert not missing


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen3", "mixtral"])
def test_with_a_cache_it_is_the_same_in_pieces_and_for_ragged_rows(name: str, tmp_path: Any) -> None:
    stack, table, _ = read(*saved(public(name), tmp_path))
    ids = torch.randint(0, 61, (2, 10))
    embedded = F.embedding(ids, table)
    whole = stack(embedded, plain_view(2, 10))
    cache = Cache(stack.shape, 2, 16)
    found = []
    for start, end in ((0, 4), (4, 5), (5, 10)):
        found.append(stack(embedded[:, start:end], cached_view(cache, end - start)))
        cache.lengths += end - start
    torch.testing.assert_close(torch.cat(found, 1), whole, rtol=1e-4, atol=1e-5)
    cache.lengths = torch.tensor([3, 7])  # rows that stand at different places
    step = stack(torch.stack([embedded[0, 3:4], embedded[1, 7:8]]), cached_view(cache, 1))
    torch.testing.assert_close(step[:, 0], torch.stack([whole[0, 3], whole[1, 7]]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_documents_in_one_row_do_not_see_each_other(name: str, tmp_path: Any) -> None:
    stack, table, _ = read(*saved(public(name), tmp_path))
    one, two = torch.randint(0, 61, (1, 5)), torch.randint(0, 61, (1, 7))
    documents = torch.tensor([[0] * 5 + [1] * 7])
    packed = stack(F.embedding(torch.cat([one, two], 1), table), packed_view(documents))
    torch.testing.assert_close(packed[:, :5], stack(F.embedding(one, table), plain_view(1, 5)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(packed[:, 5:], stack(F.embedding(two, table), plain_view(1, 7)), rtol=1e-4, atol=1e-5)


def test_rows_can_join_leave_and_change_places_in_a_cache(tmp_path: Any) -> None:
    stack, table, _ = read(*saved(public("llama"), tmp_path))
    ids = torch.randint(0, 61, (3, 8))
    embedded = F.embedding(ids, table)
    whole = stack(embedded, plain_view(3, 8))

    def begun(rows: list[int], tokens: int, room: int) -> Cache:
        cache = Cache(stack.shape, len(rows), room)
        stack(embedded[rows, :tokens], cached_view(cache, tokens))
        cache.lengths += tokens
        return cache

    cache = begun([0, 1], 6, 8).joined(begun([2], 3, 4)).take(torch.tensor([2, 0])).with_room(12)
    step = stack(torch.stack([embedded[2, 3:4], embedded[0, 6:7]]), cached_view(cache, 1))
    torch.testing.assert_close(step[:, 0], torch.stack([whole[2, 3], whole[0, 6]]), rtol=1e-4, atol=1e-5)


def test_what_the_inputs_say_is_read_where_it_is_real() -> None:
    from dapeng.nn.causal import Shape, beside

    torch.manual_seed(0)
    shape = Shape(width=16, layers=2, heads=2, kv_heads=2, head_width=8, hidden=32, cross=12)
    stack = Causal(shape).eval()
    x, said = torch.randn(2, 5, 16), torch.randn(2, 4, 12)
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    found = stack(x, beside(plain_view(2, 5), said, mask))
    short = stack(x[:1], beside(plain_view(1, 5), said[:1, :2], None))
    torch.testing.assert_close(found[:1], short, rtol=1e-4, atol=1e-5)
    changed = said.clone()
    changed[0, 2:] += 1  # hidden from the first row
    changed[1, 2:] += 1
    other = stack(x, beside(plain_view(2, 5), changed, mask))
    torch.testing.assert_close(found[0], other[0])
    assert (found[1] - other[1]).abs().max() > 1e-3


@pytest.mark.parametrize("cross", [None, 16])
def test_a_stack_with_norms_behind_is_torchs_transformer_of_2017(cross: int | None) -> None:
    """nn.TransformerDecoderLayer (over inputs) and nn.TransformerEncoderLayer (without), post-norm, ReLU: values and gradients."""
    from torch import nn

    from dapeng.nn.attention import sinusoids
    from dapeng.nn.causal import Shape, beside

    torch.manual_seed(0)
    shape = Shape(
        width=16, layers=2, heads=2, kv_heads=2, head_width=8, hidden=32, norm="layer", activation="relu", gated=False,
        bias=True, rotary=None, cross=cross, waves=True, pre_norm=False,
    )  # fmt: skip
    ours = Causal(shape).eval()
    kind = nn.TransformerEncoderLayer if cross is None else nn.TransformerDecoderLayer
    layers = [kind(16, 2, 32, 0.0, "relu", batch_first=True).eval() for _ in range(2)]
    pairs = []
    for block, layer in zip(ours.blocks, layers):
        for name, own, theirs in (
            ("attention", block.attention.qkv, layer.self_attn.in_proj_weight),
            ("bias", block.attention.qkv, layer.self_attn.in_proj_bias),
        ):
            pairs.append((own.weight if name == "attention" else own.bias, theirs))
        names = [
            (block.attention.out, layer.self_attn.out_proj),
            (block.mlp.up, layer.linear1),
            (block.mlp.down, layer.linear2),
        ]
        names += [(block.norm1, layer.norm1)]
        names += (
            [(block.norm2, layer.norm2)]
            if cross is None
            else [(block.norm_cross, layer.norm2), (block.norm2, layer.norm3)]
        )
        names += [] if cross is None else [(block.cross.out, layer.multihead_attn.out_proj)]
        for own, theirs in names:
            pairs += [(own.weight, theirs.weight), (own.bias, theirs.bias)]
    with torch.no_grad():
        for own, theirs in pairs:
            theirs.copy_(own.normal_(std=0.3))
        for block, layer in zip(ours.blocks, layers):
            if cross is not None:
                for kind_ in ("weight", "bias"):
                    given = [getattr(block.cross.query, kind_), getattr(block.cross.kv, kind_)]
                    getattr(layer.multihead_attn, f"in_proj_{kind_}").copy_(
                        torch.cat([g.normal_(std=0.3) for g in given])
                    )
    x, said = torch.randn(3, 7, 16), torch.randn(3, 4, 16)
    view = plain_view(3, 7) if cross is None else beside(plain_view(3, 7), said, None)
    found = ours(x, view)
    y = 4.0 * x + sinusoids(7, 16)
    later = nn.Transformer.generate_square_subsequent_mask(7)
    for layer in layers:
        y = layer(y, later) if cross is None else layer(y, said, later)
    torch.testing.assert_close(found, y, rtol=1e-4, atol=1e-5)
    direction = torch.randn_like(y)
    (found * direction).sum().backward()
    (y * direction).sum().backward()
    for own, theirs in pairs:
        torch.testing.assert_close(own.grad, theirs.grad, rtol=1e-3, atol=1e-4)


def test_waves_know_places_behind_what_a_cache_holds() -> None:
    from dapeng.nn.causal import Shape

    torch.manual_seed(0)
    shape = Shape(
        width=16, layers=2, heads=2, kv_heads=2, head_width=8, hidden=32, norm="layer", bias=True, rotary=None, gated=False,
        waves=True, pre_norm=False,
    )  # fmt: skip
    stack = Causal(shape).eval()
    x = torch.randn(1, 9, 16)
    whole, cache, found = stack(x, plain_view(1, 9)), Cache(shape, 1, 4), []
    for start, end in ((0, 4), (4, 5), (5, 9)):
        cache = cache.with_room(9)
        found.append(stack(x[:, start:end], cached_view(cache, end - start)))
        cache.lengths += end - start
    torch.testing.assert_close(torch.cat(found, 1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("name", ["gpt2", "llama-tied"])
def test_beams_write_what_those_of_transformers_write(name: str, penalty: float, tmp_path: Any) -> None:
    model = public(name)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1.5)  # so that there is something to choose between
    config, state = saved(model, tmp_path)
    stack, table, _ = read(config, state)
    embedding = torch.nn.Embedding(*table.shape)
    ours = Writer(stack.shape, embedding).eval()
    embedding.weight.data.copy_(table)
    ours.stack.load_state_dict(stack.state_dict())
    begin = torch.randint(5, 61, (6, 4), generator=torch.Generator().manual_seed(1))
    how = {"attention_mask": torch.ones_like(begin), "max_new_tokens": 25, "do_sample": False, "pad_token_id": 0}
    free = model.generate(begin, **how, eos_token_id=None)[:, 4:].tolist()
    end = max(range(1, 61), key=lambda token: sum(token in text[2:15] for text in free))
    found = beam_search(ours, begin, end, beams=4, max_tokens=25, length_penalty=penalty)
    theirs = model.generate(begin, **how, num_beams=4, length_penalty=penalty, early_stopping=False, eos_token_id=end)
    texts = [row[4:].tolist() for row in theirs]
    assert penalty or any(end in t for t in texts)
    assert [f[0].ids for f in found] == [t[: t.index(end)] if end in t else t for t in texts]
