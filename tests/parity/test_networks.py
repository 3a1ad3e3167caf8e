"""Our layers against torch's own, or against the formula in plain loops: same weights, same values, same gradients."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.data.batch import Cells
from dapeng.decoders.classes import ClassDecoder
from dapeng.decoders.losses.cross_entropy import Criterion
from dapeng.encoders.bag import Bag, BagEncoder
from dapeng.encoders.lenet import LeNet, LeNetEncoder
from dapeng.encoders.piecewise import PiecewiseEncoder
from dapeng.encoders.text_cnn import TextCNN, TextCNNEncoder
from dapeng.nn.attention import Block, attend_to

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def ragged(rows: int = 6, longest: int = 7, vocab: int = 12) -> Cells:
    mask = torch.arange(longest) < torch.tensor([7, 5, 3, 1, 6, 2])[:rows, None]
    return Cells({"ids": torch.randint(0, vocab, (rows, longest)) * mask, "mask": mask})


def test_a_block_is_torchs_pre_norm_transformer_layer_forward_and_backward() -> None:
    ours = Block(16, 4)
    theirs = nn.TransformerEncoderLayer(16, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
    pairs = [
        (ours.norm1.weight, theirs.norm1.weight),
        (ours.norm1.bias, theirs.norm1.bias),
        (ours.norm2.weight, theirs.norm2.weight),
        (ours.norm2.bias, theirs.norm2.bias),
        (ours.attention.qkv.weight, theirs.self_attn.in_proj_weight),
        (ours.attention.qkv.bias, theirs.self_attn.in_proj_bias),
        (ours.attention.out.weight, theirs.self_attn.out_proj.weight),
        (ours.attention.out.bias, theirs.self_attn.out_proj.bias),
        (ours.up.weight, theirs.linear1.weight),
        (ours.up.bias, theirs.linear1.bias),
        (ours.down.weight, theirs.linear2.weight),
        (ours.down.bias, theirs.linear2.bias),
    ]
    assert len(pairs) == len(list(ours.parameters())) == len(list(theirs.parameters()))
    with torch.no_grad():
        for mine, given in pairs:
            mine.copy_(given.normal_(std=0.3))
    mask = ragged()["mask"]
    x = torch.randn(6, 7, 16)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    mine, given = ours(a, attend_to(mask)), theirs(b, src_key_padding_mask=~mask)
    torch.testing.assert_close(mine[mask], given[mask], **CLOSE)
    direction = torch.randn_like(mine) * mask[..., None]
    (mine * direction).sum().backward()
    (given * direction).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)
    for p, q in pairs:
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-4)


def test_text_cnn_is_kims_convolutions_over_each_text_alone() -> None:
    """Row by row, without a batch or padding to its longest row: F.conv1d and a maximum over positions."""
    table = nn.Embedding(12, 5)
    encoder = TextCNNEncoder(table, TextCNN(embed_dim=5, channels=4, kernels=[2, 3, 4], dropout=0.0)).eval()
    cells = ragged()
    found = encoder(cells).pooled
    assert found is not None
    for row in range(6):
        length = int(cells["mask"][row].sum())
        x = table(cells["ids"][row, :length]).T  # (D, T)
        pooled = []
        for k, convolution in zip((2, 3, 4), encoder.convolutions):
            padded = F.pad(x, (k // 2, k - 1))
            starts = range(length + k // 2)  # windows that begin before the text's end
            windows = [padded[:, s : s + k] for s in starts]
            values = torch.stack([(convolution.weight * w).sum((1, 2)) + convolution.bias for w in windows])  # type: ignore[operator]
            pooled.append(values.relu().amax(0))
        torch.testing.assert_close(found[row], torch.cat(pooled), **CLOSE)


def test_piecewise_embedding_is_the_papers_loop_over_bins() -> None:
    """Gorishniy et al., 2022, eq. 1: before the bin 0, behind it 1, within it the share; a linear layer for each column."""
    edges = [[-1.0, 0.0, 0.5, 2.0], [0.0, 10.0]]
    encoder = PiecewiseEncoder(edges, 3, True, False)
    with torch.no_grad():
        encoder.bias.normal_()
    values = torch.tensor([[-0.5, 3.0], [0.25, 9.0], [1.9, 0.5], [0.0, 10.0], [-1.0, 0.0]])
    found = encoder.embed(Cells({"values": values}))
    for row in range(5):
        for k, column in enumerate(edges):
            v = float(values[row, k])
            x = encoder.bias[k, 0] + v * encoder.linear[k, 0]
            for t, (low, high) in enumerate(itertools.pairwise(column)):
                share = 0.0 if v < low else 1.0 if v >= high else (v - low) / (high - low)
                x = x + share * encoder.weight[k, t]
            torch.testing.assert_close(found[row, k], x.relu(), **CLOSE)


def test_piecewise_embedding_goes_on_beyond_the_outer_edges_up_to_four_bins() -> None:
    encoder = PiecewiseEncoder([[0.0, 1.0, 2.0]], 2, False, False)
    with torch.no_grad():
        encoder.linear.zero_()

    def at(v: float) -> Tensor:
        return encoder.embed(Cells({"values": torch.tensor([[v]])}))[0, 0]

    torch.testing.assert_close(at(4.0), encoder.weight[0, 0] + 3 * encoder.weight[0, 1], **CLOSE)
    torch.testing.assert_close(at(-2.0), -2 * encoder.weight[0, 0], **CLOSE)
    torch.testing.assert_close(at(1e9), at(5.0), **CLOSE)


def test_a_bag_is_torchs_embedding_bag_mean_beside_its_maximum() -> None:
    table = nn.Embedding(12, 5)
    encoder = BagEncoder(table, Bag(embed_dim=5, dropout=0.0))
    cells = ragged()
    ids, mask = cells["ids"], cells["mask"]
    flat, offsets = ids[mask], torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)[:-1]])
    found = encoder(cells).pooled
    assert found is not None
    mean, highest = (F.embedding_bag(flat, table.weight, offsets, mode=m) for m in ("mean", "max"))
    torch.testing.assert_close(found, torch.cat([mean, highest], 1), **CLOSE)
    direction = torch.randn_like(found)
    ours = torch.autograd.grad((found * direction).sum(), table.weight)[0]
    theirs = torch.autograd.grad((torch.cat([mean, highest], 1) * direction).sum(), table.weight)[0]
    torch.testing.assert_close(ours, theirs, **CLOSE)


class _Picture:
    normalisation = ([0.5], [0.25])

    def __init__(self, side: int):
        self.shape = (1, side, side)


@pytest.mark.parametrize(("side", "padding"), [(28, 2), (32, 0)])
def test_lenet_has_the_61706_parameters_of_1998(side: int, padding: int) -> None:
    """On 28 x 28 the first convolution pads to 32 x 32, which is what the paper's digits were."""
    encoder = LeNetEncoder(_Picture(side), LeNet())
    head = ClassDecoder(encoder.widths, 10, Criterion(None, 0.0), 0.0)
    count = sum(p.numel() for p in [*encoder.parameters(), *head.parameters()])
    assert count == 61_706, f"{count:,}"
    x = torch.randn(2, 1, side, side)
    conv1, conv2 = (stage[0] for stage in encoder.stages)  # type: ignore[index]
    y = F.max_pool2d(F.conv2d(x, conv1.weight, conv1.bias, padding=padding).relu(), 2)
    y = F.max_pool2d(F.conv2d(y, conv2.weight, conv2.bias).relu(), 2)
    assert y.shape == (2, 16, 5, 5)
    features = encoder.read(x, Cells({}))
    torch.testing.assert_close(features.pooled, encoder.full(y.flatten(1)), **CLOSE)
