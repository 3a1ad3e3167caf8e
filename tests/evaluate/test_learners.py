"""The baselines: they learn, keep to their time, and cope with classes that the training rows lack."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs, Target
from dapeng.learners.hog import describe


def digits() -> tuple[Inputs, Target]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    column = SimpleNamespace(type="image", shape=(1, 8, 8), coded=False, amounts=False)
    labels = SimpleNamespace(type="category", labels=[str(i) for i in range(11)])  # the last one never occurs
    return Inputs({"p": column}, {"p": (x / 16).astype(np.float32)}), Target(labels, y.astype(np.int64))  # type: ignore[dict-item,arg-type]


@pytest.mark.parametrize(("name", "least"), [("svm", 0.93), ("forest", 0.9), ("hog", 0.94)])
def test_a_baseline_reads_digits(name, least):
    inputs, target = digits()
    train, test = np.arange(1400), np.arange(1400, 1797)
    options = learners.members()[name]()
    assert options.reads(inputs, target)
    valid = (inputs.take(train[:200]), target.take(train[:200]))
    fitted = options.fit(inputs.take(train), target.take(train), valid, 3.0, 0)
    found = fitted.learner.predict(inputs.take(test))["probabilities"]
    assert found.shape == (397, 11)
    assert np.allclose(found.sum(1), 1, atol=1e-3)
    assert (found.argmax(1) == target.values[test]).mean() > least
    assert fitted.cpu_seconds < 6


@pytest.mark.parametrize("name", ["svm", "forest"])
def test_a_baseline_predicts_numbers(name):
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3)).astype(np.float32)
    inputs = Inputs({"x": SimpleNamespace(type="number", coded=False, amounts=True)}, {"x": x})  # type: ignore[dict-item]
    target = Target(SimpleNamespace(type="number"), 1000 + 50 * x[:, 0])  # type: ignore[arg-type]
    learner = learners.members()[name]().fit(inputs, target, None, 3.0, 0).learner
    error = learner.predict(inputs)["mean"] - target.values
    assert error.std() < 25


def test_hog_reads_pictures_alone():
    inputs = Inputs({"x": SimpleNamespace(type="number", coded=False, amounts=True)}, {"x": np.zeros((3, 1))})  # type: ignore[dict-item]
    assert not learners.members()["hog"]().reads(inputs, None)


def test_oriented_gradients_do_not_see_brightness_but_do_see_direction():
    picture = np.tile(np.linspace(0, 1, 16), (16, 1))[None].astype(np.float32)
    across, brighter, down = (describe(p, 9, 4) for p in (picture, picture * 0.5, picture.transpose(0, 2, 1)))
    assert np.allclose(across, brighter, atol=1e-3)
    assert np.abs(across - down).max() > 0.1
