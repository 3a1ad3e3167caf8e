"""Drawing from noise: solvers against walks that are known, denoisers against plain forms, seeds, guidance, and that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.contract.parts import fitted
from torch import Tensor, nn

from dapeng.core.kinds import columns, denoisers
from dapeng.data.batch import Cells
from dapeng.decoders.diffusion import Diffusion
from dapeng.decoders.flow import Flow
from dapeng.layers.denoisers.dit import DiT, DiTBlock, places
from dapeng.nn.features import Features, Widths
from dapeng.nn.noise import row_normal, row_uniform
from dapeng.nn.paths import SOLVERS, Arc, Straight, even_times

WIDTHS = Widths(pooled=6)


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_noise_is_of_a_row_and_a_seed_and_of_nothing_else() -> None:
    rows = torch.arange(50)
    every = row_normal(rows, (3, 5, 7), 1)
    assert torch.equal(row_normal(rows[20:23], (3, 5, 7), 1), every[20:23])
    assert not torch.equal(row_normal(rows, (3, 5, 7), 2), every)


def test_noise_is_normal_and_independent_between_rows_and_places() -> None:
    x = row_normal(torch.arange(2000), (64,), 0).double()
    assert abs(float(x.mean())) < 0.01
    assert float(x.std()) == pytest.approx(1, abs=0.01)
    assert float((x.abs() > 1.96).double().mean()) == pytest.approx(0.05, abs=0.003)
    assert float(torch.corrcoef(x.T).fill_diagonal_(0).abs().max()) < 0.12  # 4.5 deviations of 1 / sqrt(2000)
    u = row_uniform(torch.arange(2000), 64, 0)
    assert 0 < float(u.min()) < float(u.max()) < 1


def known(path: Any, spread: float) -> Any:
    """What a perfect network says where pictures are normal with this deviation: the mean of what is wanted."""

    def said(x: Tensor, t: float) -> Tensor:
        alpha, sigma = path.alpha(t), path.sigma(t)
        every = alpha**2 * spread**2 + sigma**2
        clean, noise = alpha * spread**2 / every * x, sigma / every * x
        return path.wanted(clean, noise, torch.tensor(t))

    return said


@pytest.mark.parametrize("path", [Straight(), Arc()])
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2), ("dpm", 2)])
def test_a_solver_comes_to_the_known_end_with_the_order_of_its_paper(path: Any, solver: str, order: int) -> None:
    start = torch.linspace(-2, 2, 9).double()
    wanted = 0.4 * start  # the walk takes quantiles of noise to quantiles of pictures
    errors = []
    for steps in (256, 512):
        end = SOLVERS[solver](path, known(path, 0.4), start, even_times(steps))
        errors.append(float((end - wanted).abs().max()))
    assert errors[1] < 0.005
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.2)


def test_every_solver_finds_a_single_picture_at_once() -> None:
    picture = torch.tensor([0.3, -0.7]).double()
    for path in (Straight(), Arc()):
        for solve in SOLVERS.values():

            def said(x: Tensor, t: float, path: Any = path) -> Tensor:
                noise = (x - path.alpha(t) * picture) / max(path.sigma(t), 1e-9)
                return path.wanted(picture, noise, torch.tensor(t))

            end = solve(path, said, torch.randn(4, 2).double(), even_times(64))
            torch.testing.assert_close(end, picture.expand(4, 2), rtol=0, atol=0.03)


@pytest.mark.parametrize("tag", sorted(denoisers.members()))
@pytest.mark.parametrize("shape", [(1, 9, 13), (3, 16, 16)])
def test_a_denoiser_gives_what_it_reads_in_shape_and_a_gradient_everywhere(
    tag: str, shape: tuple[int, int, int]
) -> None:
    member = denoisers.members()[tag]
    net = member(**member.tiny).build(shape, 6)
    for p in net.parameters():  # what begins at zero lets nothing through
        nn.init.normal_(p, std=0.1)
    x, t, condition = torch.randn(4, *shape), torch.rand(4), torch.randn(4, 6)
    out = net(x, t, condition)
    assert out.shape == x.shape
    out.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
    with torch.no_grad():
        torch.testing.assert_close(net(x[1:2], t[1:2], condition[1:2])[0], out[1], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(net(x, t, condition + 1), out)
        assert not torch.allclose(net(x, 1 - t, condition), out)
    assert member(**member.tiny).build(shape, None)(x, t, None).shape == x.shape


def test_a_dit_block_is_attention_and_a_perceptron_under_modulated_norms() -> None:
    """Against torch's own attention and norms, put together as in the paper's code, with copied weights."""
    block = DiTBlock(24, 3)
    for p in block.parameters():
        nn.init.normal_(p, std=0.2)
    attention = nn.MultiheadAttention(24, 3, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(block.qkv.weight)
        attention.in_proj_bias.copy_(block.qkv.bias)
        attention.out_proj.load_state_dict(block.out.state_dict())
    x, told = torch.randn(2, 5, 24), torch.randn(2, 24)
    shift1, scale1, gate1, shift2, scale2, gate2 = (p.unsqueeze(1) for p in block.told(told).chunk(6, dim=1))
    norm = nn.LayerNorm(24, elementwise_affine=False, eps=1e-6)
    seen = norm(x) * (1 + scale1) + shift1
    plain = x + gate1 * attention(seen, seen, seen, need_weights=False)[0]
    seen = norm(plain) * (1 + scale2) + shift2
    plain = plain + gate2 * block.down(nn.GELU("tanh")(block.up(seen)))
    torch.testing.assert_close(block(x, told), plain, rtol=1e-5, atol=1e-5)


def test_a_dit_knows_rows_from_columns() -> None:
    at = places(3, 4, 16).view(3, 4, 16)
    assert torch.equal(at[1, 0, :8], at[1, 3, :8])  # one half is the row
    assert torch.equal(at[0, 2, 8:], at[2, 2, 8:])  # the other the column
    assert len(torch.unique(at.view(12, 16), dim=0)) == 12
    with pytest.raises(ValueError, match="not divisible by num_heads"):
        DiT(embed_dim=18, num_heads=4).build((1, 8, 8), None)


def decoder(options: Any = Flow, **more: Any) -> Any:
    small = {"denoiser": {"type": "unet", "width": 16, "blocks": 1, "heads": 0}, "steps": 4, **more}
    column = fitted("image", "y", target=True, size=8, channels=1)
    return options.model_validate({"type": options.model_fields["type"].default, **small}).build(
        column, WIDTHS, None, None
    )


def stirred(net: nn.Module) -> Any:
    for p in net.parameters():
        nn.init.normal_(p, std=0.1)
    return net.eval()


@pytest.mark.parametrize("options", [Flow, Diffusion])
def test_the_same_seed_gives_a_row_the_same_picture_whatever_stands_beside_it(options: Any) -> None:
    net = stirred(decoder(options))
    rows, pooled = torch.arange(6), torch.randn(6, 6)
    features = Features(pooled=pooled)
    with torch.no_grad():
        every = net.predict(features, 6, rows=rows)["drawn"]
        alone = net.predict(Features(pooled=pooled[4:5]), 1, rows=rows[4:5])["drawn"]
        other = net.predict(features, 6, rows=rows, seed=1)["drawn"]
    torch.testing.assert_close(alone[0], every[4], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(other, every)


def test_guidance_of_one_is_none_and_of_nothing_forgets_what_was_asked() -> None:
    net = stirred(decoder())
    features = Features(pooled=torch.randn(3, 6))
    blank = Features(pooled=net.nothing.detach().expand(3, 6))
    with torch.no_grad():
        drawn = {g: net.predict(features, 3, guidance=g)["drawn"] for g in (0.0, 1.0, 1.000001, 3.0)}
        torch.testing.assert_close(drawn[1.0], drawn[1.000001], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(drawn[0.0], net.predict(blank, 3)["drawn"], rtol=1e-3, atol=1e-3)
        assert not torch.allclose(drawn[3.0], drawn[1.0], atol=1e-3)


@pytest.mark.parametrize("options", [Flow, Diffusion])
@pytest.mark.parametrize("solver", sorted(SOLVERS))
def test_what_is_known_of_a_picture_comes_out_of_every_walk(options: Any, solver: str) -> None:
    net = stirred(decoder(options, solver=solver, steps=6))
    known, keep = torch.rand(3, 1, 8, 8) * 2 - 1, torch.rand(3, 1, 8, 8) < 0.5
    with torch.no_grad():
        drawn = net.predict(Features(pooled=torch.randn(3, 6)), 3, known=known, keep=keep)["drawn"]
    exact = solver == "dpm" or options is Flow  # on an arc, a last straight step ends beside the picture
    torch.testing.assert_close(drawn[keep], known[keep], rtol=0, atol=1e-3 if exact else 0.3)
    assert not torch.allclose(drawn[~keep], known[~keep], atol=0.1)


def test_rows_that_validate_are_judged_alike_each_time_and_nothing_is_drawn() -> None:
    net = stirred(decoder())
    target = Cells(
        {"pixels": torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)}, torch.tensor([True] * 4 + [False])
    )
    features = Features(pooled=torch.randn(5, 6))
    (loss, said), (again, _) = net.judged(features, target, 5), net.judged(features, target, 5)
    assert torch.equal(loss, again)
    assert set(said) == {"error"}
    assert loss[4] == 0
    net.train()
    assert not torch.equal(net.loss(features, target), net.loss(features, target))


def test_a_flow_learns_bright_from_dark() -> None:
    net = decoder(steps=8)
    code = torch.arange(32) % 2
    draw = torch.Generator().manual_seed(1)
    pixels = (code * 160 + 40)[:, None, None, None] + torch.randint(-20, 20, (32, 1, 8, 8), generator=draw)
    target = Cells({"pixels": pixels.to(torch.uint8)})
    features = Features(pooled=nn.functional.one_hot(code, 6).float())
    optimiser = torch.optim.Adam(net.parameters(), 4e-3)
    for _ in range(120):
        net.loss(features, target).mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    with torch.no_grad():
        drawn = net.eval().predict(features, 32)["drawn"].mean((1, 2, 3))
    assert float(drawn[code == 0].mean()) == pytest.approx(40 / 127.5 - 1, abs=0.25)
    assert float(drawn[code == 1].mean()) == pytest.approx(200 / 127.5 - 1, abs=0.25)


def test_a_drawn_picture_comes_back_as_a_png_of_its_pixels() -> None:
    column = fitted("image", "y", target=True, size=8)
    pixels = np.random.default_rng(0).integers(0, 256, (3, *column.shape), np.uint8)  # type: ignore[attr-defined]
    cells = column.decode({"pixels": pixels})
    again = columns.members()["image"].model_validate({"type": "image", "size": 8}).fitted("y", column.state, True)
    np.testing.assert_array_equal(again.encode(pa.array(cells)).tensors["pixels"], pixels)
