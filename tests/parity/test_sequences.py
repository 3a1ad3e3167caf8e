"""Recurrent networks and Transformers against torch's own over ragged rows, forward and gradient; rotary positions against transformers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dapeng.nn.attention import Block, attend_to, rotated, rotations, sinusoids
from dapeng.nn.recurrent import Recurrent, last_step

LENGTHS = torch.tensor([7, 5, 3, 1])


def ragged() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(4, 7, 6), torch.arange(7)[None] < LENGTHS[:, None]


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_recurrent_stack_is_torchs_over_packed_sequences(kind: str, bidirectional: bool) -> None:
    x, mask = ragged()
    ours = Recurrent(kind, 6, 5, 2, bidirectional, 0.0)
    theirs = getattr(nn, kind.upper())(6, 5, 2, batch_first=True, bidirectional=bidirectional)
    pairs = []
    for number in range(2):
        for layers, suffix in ((ours.forwards, ""), (ours.backwards, "_reverse")):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if len(layers) else ():
                pairs.append((getattr(layers[number], f"{name}_l0"), getattr(theirs, f"{name}_l{number}{suffix}")))
    assert len(pairs) == len(list(theirs.parameters())) == len(list(ours.parameters()))
    with torch.no_grad():
        for mine, given in pairs:
            mine.copy_(given)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    mine = ours(a, mask)
    packed, state = theirs(pack_padded_sequence(b, LENGTHS, batch_first=True))
    given, _ = pad_packed_sequence(packed, batch_first=True)
    torch.testing.assert_close(mine, given, rtol=1e-5, atol=1e-6)
    hidden = state[0] if kind == "lstm" else state
    wanted = torch.cat([hidden[-2], hidden[-1]], 1) if bidirectional else hidden[-1]
    torch.testing.assert_close(last_step(mine, mask, 5), wanted, rtol=1e-5, atol=1e-6)
    direction = torch.randn_like(mine)
    (mine * direction).sum().backward()
    (given * direction).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)
    for own, other in pairs:
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-5)


def test_a_post_norm_block_is_torchs_transformer_layer_of_2017() -> None:
    x, mask = ragged()
    x = x.repeat(1, 1, 2)  # (4, 7, 12)
    ours = Block(12, 3, width=20, pre_norm=False, activation=nn.ReLU())
    theirs = nn.TransformerEncoderLayer(12, 3, 20, 0.0, "relu", batch_first=True)
    attention = (ours.attention.qkv, ours.attention.out)
    pairs = [
        (attention[0].weight, theirs.self_attn.in_proj_weight),
        (attention[0].bias, theirs.self_attn.in_proj_bias),
        *zip(attention[1].parameters(), theirs.self_attn.out_proj.parameters()),
        *zip(ours.norm1.parameters(), theirs.norm1.parameters()),
        *zip(ours.norm2.parameters(), theirs.norm2.parameters()),
        *zip(ours.up.parameters(), theirs.linear1.parameters()),
        *zip(ours.down.parameters(), theirs.linear2.parameters()),
    ]
    assert len(pairs) == len(list(ours.parameters())) == len(list(theirs.parameters()))
    with torch.no_grad():
        for mine, given in pairs:
            mine.copy_(given.normal_(std=0.3))
    mine, given = ours(x, attend_to(mask)), theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(mine[mask], given[mask], rtol=1e-5, atol=1e-5)
    direction = torch.randn_like(mine) * mask[..., None]
    (mine * direction).sum().backward()
    (given * direction).sum().backward()
    for own, other in pairs:
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-4, atol=1e-4)


def test_rotary_positions_are_those_of_llama() -> None:
    modeling = pytest.importorskip("transformers.models.llama.modeling_llama", reason="compares with transformers")
    q, k = torch.randn(2, 3, 7, 8), torch.randn(2, 3, 7, 8)
    cosines, sines = rotations(7, 8)
    wanted = modeling.apply_rotary_pos_emb(q, k, cosines[None], sines[None])
    torch.testing.assert_close(rotated(q, cosines, sines), wanted[0])
    torch.testing.assert_close(rotated(k, cosines, sines), wanted[1])
    config = modeling.LlamaConfig(hidden_size=24, num_attention_heads=3, head_dim=8)
    given = modeling.LlamaRotaryEmbedding(config)(q, torch.arange(7)[None])
    torch.testing.assert_close(cosines, given[0][0])
    torch.testing.assert_close(sines, given[1][0])


def test_rotated_products_depend_on_the_distance_alone() -> None:
    cosines, sines = rotations(20, 8)
    q, k = torch.randn(8), torch.randn(8)

    def product(i: int, j: int) -> float:
        return float(rotated(q, cosines[i], sines[i]) @ rotated(k, cosines[j], sines[j]))

    assert product(3, 7) == pytest.approx(product(10, 14), abs=1e-5)
    assert product(3, 7) != pytest.approx(product(3, 8), abs=1e-3)


def test_sinusoids_are_the_formula_of_2017() -> None:
    table = sinusoids(9, 6)
    for position in range(9):
        for i in range(3):
            angle = torch.tensor(position / 10_000 ** (2 * i / 6))
            assert float(table[position, 2 * i]) == pytest.approx(float(angle.sin()), abs=1e-6)
            assert float(table[position, 2 * i + 1]) == pytest.approx(float(angle.cos()), abs=1e-6)
