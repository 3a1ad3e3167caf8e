"""Two players over sounds: whose turn moves whom, rows without a sound, and what is kept."""

from __future__ import annotations

import pytest
import torch
from tests.contract.test_objectives import made, reading

from dapeng.core.errors import SpecError
from dapeng.core.kinds import decoders, objectives
from dapeng.core.spec import Spec
from dapeng.models.build import Choices, fresh_model
from dapeng.train.network import phases_of


@pytest.mark.parametrize("turn", ["critic", "model"])
def test_a_turn_gives_gradients_to_its_own_player_alone(turn: str) -> None:
    game, batch = made("adversarial_sound")
    losses = game(batch, turn)
    assert losses["y"].shape == (8,)
    losses["y"].sum().backward()
    own = {id(p) for p in game.trainable(turn)}
    for name, parameter in game.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in own), name
        assert parameter.requires_grad, "nobody stays frozen after a turn"
    both = [{id(p) for p in game.trainable(t)} for t in game.turns]
    assert not both[0] & both[1]
    assert both[0] | both[1] == {id(p) for p in game.parameters()}


def test_what_is_kept_holds_the_generator_and_no_critic() -> None:
    game, _ = made("adversarial_sound")
    kept = game.model.state_dict()
    assert any("vocoder.generator" in n for n in kept)
    assert not any("critic" in n for n in kept)


def test_rows_without_a_sound_are_not_played() -> None:
    game, batch = made("adversarial_sound")
    there = batch["y"].present
    assert there is not None
    assert not there.all()
    for turn in game.turns:
        assert bool((game(batch, turn)["y"][~there] == 0).all())
        assert float(torch.as_tensor(game.counts(batch, turn)["y"]).sum()) == int(there.sum())


def test_the_game_costs_more_than_the_bands_alone_and_can_be_left_out() -> None:
    game, batch = made("adversarial_sound")
    bare = objectives.members()["adversarial_sound"](game=0.0, maps=0.0).build(game.model)
    plain = objectives.members()["supervised"]().build(game.model)
    found = []
    for objective in (game, bare, plain):
        torch.manual_seed(2)
        found.append(objective(batch, "model")["y"])
    torch.testing.assert_close(found[1], found[2])
    there = batch["y"].present
    assert bool((found[0][there] > found[2][there]).all())


def test_the_vocoder_names_the_phase_that_teaches_it() -> None:
    game, _ = made("adversarial_sound")
    (phase,) = phases_of(Spec.model_validate({"inputs": {}, "outputs": {"y": "audio"}}).train, game.model)
    assert phase.objective.type == "adversarial_sound"
    assert not decoders.members()["speech"]().vocoder.phase, "Griffin and Lim have nobody to play with"


def test_a_game_without_a_player_is_refused() -> None:
    inputs, outputs = reading()
    spec = Spec.model_validate({"inputs": {"t": "text"}, "outputs": {"y": "category"}})
    model = fresh_model(spec, inputs, outputs, Choices())
    with pytest.raises(SpecError, match="whose vocoder has critics"):
        objectives.members()["adversarial_sound"]().build(model)
