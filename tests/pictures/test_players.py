"""Two players: whose turn moves whom, penalties against a closed form, and a generator that learns what it is asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.contract.parts import fitted
from tests.systems.training import train
from torch import Tensor, nn

from dapeng.core.errors import SpecError
from dapeng.data.batch import Batch, Cells
from dapeng.decoders.dcgan import DCGAN
from dapeng.decoders.r3gan import R3GAN
from dapeng.models.model import Model
from dapeng.nn.features import Widths
from dapeng.nn.tables import Tables
from dapeng.objectives.adversarial import CRITIC, GENERATOR, Adversarial, critic_loss, generator_loss
from dapeng.train.optimisers.adam import Adam

SMALL: dict[str, Any] = {"dcgan": DCGAN(width=8, noise=4), "r3gan": R3GAN(width=8, noise=4, blocks=1, group=4)}


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def model_of(tag: str) -> Model:
    from tests.systems.training import single

    from dapeng.encoders.embedding import EmbeddingEncoder

    column = fitted("image", "image", target=True, size=8, channels=1)
    tables = Tables()
    encoder = EmbeddingEncoder([2], 6, [tables.get("label", 2, 6)])

    def decoder(widths: Widths) -> Any:
        return SMALL[tag].build(column, widths, tables, None)

    return single("label", encoder, {"image": decoder}, tables)


def rows(present: Tensor | None = None) -> Batch:
    code = torch.arange(32) % 2
    draw = torch.Generator().manual_seed(1)
    pixels = (code * 160 + 40)[:, None, None, None] + torch.randint(-20, 20, (32, 1, 8, 8), generator=draw)
    cells = {"label": Cells({"codes": code[:, None]}), "image": Cells({"pixels": pixels.to(torch.uint8)}, present)}
    return Batch(cells, torch.arange(32))


@pytest.mark.parametrize("tag", sorted(SMALL))
@pytest.mark.parametrize("turn", [CRITIC, GENERATOR])
def test_a_turn_gives_gradients_to_its_own_player_alone(tag: str, turn: str) -> None:
    game = Adversarial().build(model_of(tag))
    for p in game.parameters():  # blocks that begin at zero let nothing through
        nn.init.normal_(p, std=0.1)
    losses = game(rows(), turn)
    assert losses["image"].shape == (32,)
    losses["image"].sum().backward()
    own = {id(p) for p in game.trainable(turn)}
    for name, parameter in game.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in own), name
        assert parameter.requires_grad, "nobody stays frozen after a turn"
    both = [{id(p) for p in game.trainable(t)} for t in game.turns]
    assert not both[0] & both[1]
    assert both[0] | both[1] == {id(p) for p in game.parameters()}
    assert not any(n.startswith("critic") for n in game.model.state_dict()), "what is kept holds no critic"


def test_rows_without_a_picture_are_not_played() -> None:
    there = torch.arange(32) < 20
    game = Adversarial().build(model_of("dcgan"))
    for turn in game.turns:
        assert bool((game(rows(there), turn)["image"][~there] == 0).all())
        assert float(torch.as_tensor(game.counts(rows(there), turn)["image"]).sum()) == 20


def test_a_penalty_is_half_the_squared_slope_of_the_critic() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64))

        def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
            return (x.flatten(1) ** 2 @ self.weight) / 2

    game: Any = Adversarial(real_penalty=3.0).build(model_of("dcgan"))
    critic, x = Plain(), torch.randn(5, 1, 8, 8)
    said, penalty = game._look(critic, x, 3.0, None)
    slope = x.flatten(1) * critic.weight
    torch.testing.assert_close(penalty, 1.5 * slope.square().sum(1))
    penalty.sum().backward()
    torch.testing.assert_close(critic.weight.grad, 3.0 * (x.flatten(1) ** 2 * critic.weight.detach()).sum(0))
    torch.testing.assert_close(said, critic(x, None))
    assert not bool(game._look(critic, x, 0.0, None)[1].any())


def test_games_are_those_of_their_papers() -> None:
    real, drawn = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
    torch.testing.assert_close(critic_loss("relativistic", real, drawn), -F.logsigmoid(real - drawn))
    torch.testing.assert_close(generator_loss("relativistic", real, drawn), -F.logsigmoid(drawn - real))
    whole = F.binary_cross_entropy_with_logits
    wanted = whole(real, torch.ones(2), reduction="none") + whole(drawn, torch.zeros(2), reduction="none")
    torch.testing.assert_close(critic_loss("classic", real, drawn), wanted)
    torch.testing.assert_close(generator_loss("classic", real, drawn), whole(drawn, torch.ones(2), reduction="none"))
    assert critic_loss("hinge", real, drawn).tolist() == [1.5, 6.0]
    assert generator_loss("hinge", real, drawn).tolist() == [-0.5, -3.0]


def test_a_game_without_a_player_is_refused() -> None:
    from tests.systems.training import classes, single

    from dapeng.encoders.embedding import EmbeddingEncoder

    tables = Tables()
    encoder = EmbeddingEncoder([2], 6, [tables.get("label", 2, 6)])
    model = single("label", encoder, {"y": classes(2)}, tables)
    with pytest.raises(SpecError, match="whose decoder has a critic"):
        Adversarial().build(model)


@pytest.mark.parametrize("tag", sorted(SMALL))
def test_a_generator_learns_what_it_is_asked_for(tag: str) -> None:
    options = SMALL[tag]
    game = Adversarial.model_validate(options.phase["objective"]).build(model_of(tag))
    optimiser = Adam.model_validate(options.phase["optimiser"])
    train(game, rows(), 150, 2e-3, optimiser, ema=0.9)
    with torch.no_grad():
        drawn = game.model.eval()(rows())["image"]["drawn"].mean((1, 2, 3))
    code = torch.arange(32) % 2
    assert float(drawn[code == 1].mean() - drawn[code == 0].mean()) > 0.6, "half of the real difference"
