"""Pairs of objects, one by one, against what the fusion makes of all at once."""

from __future__ import annotations

import torch

from dapeng.fusion.relation import Relation
from dapeng.nn.features import Features, Widths

WIDTHS = {"scene": Widths(pooled=6, tokens=6, maps=((6, 4),)), "question": Widths(pooled=5, tokens=5)}


def parts(rows: int, places: int) -> dict[str, Features]:
    scene = torch.randn(rows, places, 6)
    words = torch.randn(rows, 3, 5)
    return {
        "scene": Features(pooled=scene.mean(1), tokens=scene),
        "question": Features(pooled=words.mean(1), tokens=words, mask=torch.ones(rows, 3, dtype=torch.bool)),
    }


def test_every_pair_is_seen_beside_the_question():
    torch.manual_seed(0)
    options = Relation(embed_dim=8, num_layers=2, hidden=[4])
    net = options.build(WIDTHS, set()).eval()
    given = parts(2, 5)
    found = net(given)
    objects = net.each["scene"](given["scene"].tokens) + net.source[next(iter(net.source))]
    asked = net.asked(net.wholes(given).mean(1))
    said = torch.zeros(2, 8)
    for row in range(2):
        for i in range(5):
            for j in range(5):
                pair = net.first(objects[row, i]) + net.second(objects[row, j]) + asked[row]
                said[row] += net.pairs(pair.relu()) / 25
    assert found.pooled is not None
    torch.testing.assert_close(found.pooled, net.trunk(said))


def test_words_are_no_objects_beside_a_picture_and_hidden_places_are_left_out():
    torch.manual_seed(0)
    net = Relation(embed_dim=8, num_layers=2).build(WIDTHS, set()).eval()
    assert list(net.each) == ["scene"]
    given = parts(2, 5)
    scene = given["scene"]
    assert scene.tokens is not None
    mask = torch.tensor([[True] * 4 + [False]] * 2)
    hidden = {**given, "scene": Features(pooled=scene.pooled, tokens=scene.tokens, mask=mask)}
    fewer = {**given, "scene": Features(pooled=scene.pooled, tokens=scene.tokens[:, :4])}
    torch.testing.assert_close(net(hidden).pooled, net(fewer).pooled)
