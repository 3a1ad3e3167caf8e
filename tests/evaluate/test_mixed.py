"""The mixed-effects model: its effects are those of Henderson's equations, its variances those that the rows were made with."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from dapeng.core.kinds import learners
from dapeng.learners.base import Inputs, Target
from dapeng.learners.crossed import Factors
from dapeng.learners.mixed import MixedLearner
from dapeng.learners.variances import effects_of, estimate


def made(rows: int = 6000, pairs: float = 0.0, seed: int = 0) -> tuple[Inputs, Target, dict[str, np.ndarray]]:
    """200 students (deviation 0.5) rate 80 lecturers (0.8), with noise of 1 and a slope of 0.3 by age."""
    draw = np.random.default_rng(seed)
    codes = {"student": draw.integers(1, 201, rows), "lecturer": draw.integers(1, 81, rows), "service": draw.integers(1, 3, rows)}  # fmt: skip
    age = draw.normal(size=rows)
    effects = {"student": draw.normal(0, 0.5, 201), "lecturer": draw.normal(0, 0.8, 81)}
    both = draw.normal(0, pairs, (81, 3))
    y = 3 + 0.3 * age + draw.normal(0, 1, rows) + both[codes["lecturer"], codes["service"]]
    y += sum(effects[n][codes[n]] for n in effects)
    sizes = {"student": 201, "lecturer": 81, "service": 3}
    kinds: dict[str, Any] = {n: SimpleNamespace(coded=True, size=s, direction=0) for n, s in sizes.items()}
    kinds["age"] = SimpleNamespace(coded=False, direction=0)
    matrices = {n: c.astype(np.float32)[:, None] for n, c in codes.items()} | {"age": age.astype(np.float32)[:, None]}
    return Inputs(kinds, matrices), Target(SimpleNamespace(type="number"), y), effects  # type: ignore[arg-type]


def fitted(inputs: Inputs, target: Target, **options: Any) -> Any:
    return learners.members()["mixed"](**options).fit(inputs, target, None, 60.0, 0)


def test_effects_are_the_best_linear_unbiased_predictions():
    draw = np.random.default_rng(1)
    rows, groups = 300, (20, 12)
    z = np.concatenate([np.eye(q)[draw.integers(0, q, rows)] for q in groups], 1)
    fixed = np.concatenate([np.ones((rows, 1)), draw.normal(size=(rows, 1))], 1)
    variances, noise = np.array([0.4, 0.1]), 0.9
    y = draw.normal(size=rows) + z @ draw.normal(size=32) * 0.5 + fixed @ [2.0, 0.7]
    d = np.diag(np.repeat(variances, groups))
    inverse = np.linalg.inv(z @ d @ z.T + noise * np.eye(rows))
    slopes = np.linalg.solve(fixed.T @ inverse @ fixed, fixed.T @ inverse @ y)  # generalised least squares
    wanted = np.concatenate([d @ z.T @ inverse @ (y - fixed @ slopes), slopes])
    owner = np.repeat([0, 1, 2], [*groups, 2])
    x = sp.csr_matrix(np.concatenate([z, fixed], 1).astype(np.float32))
    found = effects_of(x, y.astype(np.float32), owner, np.append(variances, np.inf), noise)
    assert found == pytest.approx(wanted, abs=2e-3)


def test_variances_are_where_the_marginal_likelihood_is_at_its_top():
    from scipy.optimize import minimize

    draw = np.random.default_rng(2)
    rows, groups = 500, (40, 25)
    z = [np.eye(q)[draw.integers(0, q, rows)] for q in groups]
    y = draw.normal(size=rows) + z[0] @ draw.normal(0, 0.7, 40) + z[1] @ draw.normal(0, 0.4, 25)

    def deviance(logs: np.ndarray) -> float:
        v = np.exp(logs[2]) * np.eye(rows) + sum(np.exp(s) * m @ m.T for s, m in zip(logs, z))
        return float(np.linalg.slogdet(v)[1] + y @ np.linalg.solve(v, y))

    top = np.exp(minimize(deviance, np.log([0.3, 0.3, 1.0]), method="Nelder-Mead", options={"xatol": 1e-3}).x)
    x = sp.csr_matrix(np.concatenate(z, 1).astype(np.float32))
    owner, until = np.repeat([0, 1], groups), time.process_time() + 60
    found = estimate(x, y.astype(np.float32), owner, np.array([0.3, 0.3]), 1.0, 40, until, 0)
    assert [*found.variances, found.noise] == pytest.approx(top, rel=0.08)


def test_what_the_rows_were_made_with_is_found_again():
    inputs, target, effects = made()
    found = fitted(inputs, target, crossed=1)
    learner: MixedLearner = found.learner
    sizes = {str(c): v**0.5 for c, v in zip(learner.crossings, found.facts["variances"])}
    assert sizes["lecturer"] == pytest.approx(0.8, rel=0.15)
    assert sizes["student"] == pytest.approx(0.5, rel=0.15)
    assert sizes["service"] < 0.2
    assert found.facts["noise"] ** 0.5 == pytest.approx(1.0, rel=0.03)
    assert learner.fixed[1] == pytest.approx(0.3 * inputs.matrices["age"].std(), abs=0.04)
    own = {str(c): e for c, e in zip(learner.crossings, np.split(learner.effects, np.cumsum([len(c) for c in learner.crossings])[:-1]))}  # fmt: skip
    assert np.corrcoef(own["lecturer"], effects["lecturer"][1:])[0, 1] > 0.97


def test_few_rows_are_drawn_further_towards_the_mean():
    inputs, target, _ = made(3000)
    inputs.matrices["student"][:] = np.minimum(inputs.matrices["student"], 150)
    learner: MixedLearner = fitted(inputs, target, crossed=1).learner
    codes = inputs.matrices["student"][:, 0]
    rest = target.values - learner.predict(inputs)["mean"]
    own = learner.adds(inputs)
    few, many = (np.flatnonzero(codes == level) for level in (3, 150))
    assert len(few) < 40 < 500 < len(many)
    share = [abs(own[at[0]]["student"]) / abs(own[at[0]]["student"] + rest[at].mean()) for at in (few, many)]
    assert share[0] < 0.95 < share[1]


def test_crossed_columns_count_where_they_matter_and_cost_nothing_where_they_do_not():
    for pairs in (0.0, 0.6):
        inputs, target, _ = made(6000, pairs)
        train, test = np.arange(5000), np.arange(5000, 6000)
        one, two = (fitted(inputs.take(train), target.take(train), crossed=n).learner for n in (1, 2))
        alone, crossed = (m.error(inputs.take(test), target.take(test)) for m in (one, two))
        assert crossed < (0.9 * alone if pairs else 1.02 * alone)


def test_validation_rows_choose_how_many_columns_are_crossed():
    for pairs, wanted in ((0.0, {1, 2, 3}), (0.8, {2, 3})):
        inputs, target, _ = made(6000, pairs)
        train, valid = np.arange(4500), np.arange(4500, 6000)
        options = learners.members()["mixed"]()
        parts = (inputs.take(valid), target.take(valid))
        found = options.fit(inputs.take(train), target.take(train), parts, 60.0, 0)
        errors = {n: fitted(inputs.take(train), target.take(train), crossed=n).learner.error(*parts) for n in (1, 2, 3)}
        assert max(len(c.columns) for c in found.learner.crossings) in wanted
        assert found.learner.error(*parts) <= min(errors.values()) * 1.01
        again = options.refit(found, inputs, target, 0)
        assert [c.columns for c in again.learner.crossings] == [c.columns for c in found.learner.crossings]
        assert again.learner.error(*parts) < found.learner.error(*parts)


def test_a_level_that_no_training_row_has_gets_the_mean():
    inputs, target, _ = made(2000)
    learner: MixedLearner = fitted(inputs, target, crossed=2).learner
    strange = inputs.take(np.arange(1))
    strange.matrices |= {"student": np.array([[999.0]]), "lecturer": np.array([[0.0]])}
    effect = learner.adds(strange)[0]
    assert effect["student"] == effect["lecturer"] == 0.0
    assert np.isfinite(learner.predict(strange)["mean"][0])


def test_what_columns_add_sums_to_the_prediction():
    inputs, target, _ = made(1000)
    learner: MixedLearner = fitted(inputs, target, crossed=2).learner
    few = inputs.take(np.arange(20))
    sums = [sum(row.values()) + learner.fixed[0] for row in learner.adds(few)]
    assert sums == pytest.approx(learner.predict(few)["mean"].tolist(), abs=1e-4)


def test_kept_in_a_folder_it_says_the_same(tmp_path):
    inputs, target, _ = made(1000)
    learner: MixedLearner = fitted(inputs, target, crossed=2).learner
    learner.save(tmp_path)
    again = MixedLearner.load(tmp_path, {}, target.column)
    assert np.array_equal(again.predict(inputs)["mean"], learner.predict(inputs)["mean"])
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".json", ".safetensors")]


def test_it_reads_tables_whose_categories_have_many_labels_that_return():
    options = learners.members()["mixed"]()
    inputs, target, _ = made(1000)
    assert options.reads(inputs, target)
    assert not options.reads(inputs.take(np.arange(150)), target)  # as good as every student once
    few = Inputs({"service": inputs.columns["service"]}, {"service": inputs.matrices["service"]})
    assert not options.reads(few, target)


def test_crossings_that_are_others_by_another_name_are_left_out():
    draw = np.random.default_rng(0)
    town = draw.integers(0, 40, 800)
    matrices = {
        "town": town[:, None] * 1.0,
        "country": (town // 10)[:, None] * 1.0,
        "day": draw.integers(0, 5, (800, 1)) * 1.0,
    }
    inputs = Inputs({n: SimpleNamespace(coded=True) for n in matrices}, matrices)  # type: ignore[misc]
    factors = Factors.fit(inputs)
    codes = factors.codes(inputs)
    assert [str(c) for c in factors.crossings(codes, list(matrices), 2)] == ["town:day", "country:day"]
    assert factors.crossings(codes, list(matrices), 3) == []
