"""Checking and batching without a network."""

from __future__ import annotations

import asyncio

import pytest

from dapeng.serve.engine import BadRequest, Engine
from dapeng.serve.guard import Guard, hostname
from dapeng.serve.queue import Busy, Queue
from trained import iris_run

GOOD = {"sepal length": 5.1, "sepal width": 3.5, "petal.length": 1.4, "petal.width": 0.2, "wide": "yes"}


class Moody(Engine):
    """Fails where a row holds 13."""

    def answers(self, rows):
        if any(13 in row for row in rows):
            raise ArithmeticError("13")
        return super().answers(rows)


def engine(kind=Engine, **options):
    return kind(iris_run()[1], "iris", **options)


def test_everything_that_is_wrong_is_said_at_once():
    row = {**GOOD, "petal.width": "x", "wide": [], "more": 1}
    del row["sepal length"]
    with pytest.raises(BadRequest) as found:
        engine().check([row])
    assert sorted(w.where for w in found.value.wrongs) == [
        "row.more",
        "row.petal.width",
        "row.sepal length",
        "row.wide",
    ]


def test_numbers_are_read_as_people_write_them_and_may_be_missing():
    (row,) = engine().check([{**GOOD, "petal.width": "1,234.5", "sepal width": None}]).rows
    assert row[3] == 1234.5
    assert row[1] != row[1]


def test_a_true_output_beside_the_inputs_is_ignored():
    assert engine().check([{**GOOD, "species": "setosa"}]).rows == engine().check([GOOD]).rows


@pytest.mark.parametrize("threaded", [False, True])
def test_h02_a_row_that_breaks_the_model_costs_its_neighbours_nothing(threaded):
    queue = Queue(engine(Moody))
    queue.seconds_of_batch = queue.seconds_of_row = 1.0 if threaded else 0.0

    async def ask():
        bodies = [{**GOOD, "petal.width": 13 if i % 10 == 0 else 0.2} for i in range(60)]
        asked = [queue.answers(queue.engine.check([b]).rows) for b in bodies]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(ask())
    assert [isinstance(f, ArithmeticError) for f in found] == [i % 10 == 0 for i in range(60)]
    assert queue.waiting == 0
    queue.close()


def test_batches_are_capped_by_rows_and_a_long_queue_is_refused():
    queue = Queue(engine(max_batch=8), most_waiting=30)
    queue.seconds_of_batch = queue.seconds_of_row = 0.0
    sizes = []
    plain = queue.engine.answers
    queue.engine.answers = lambda rows: sizes.append(len(rows)) or plain(rows)  # type: ignore[method-assign]

    async def ask():
        rows = queue.engine.check([GOOD] * 3).rows
        return await asyncio.gather(*(queue.answers(rows) for _ in range(12)), return_exceptions=True)

    found = asyncio.run(ask())
    assert max(sizes) <= 8
    assert sum(isinstance(f, Busy) for f in found) == 2
    queue.close()


def test_names_of_hosts():
    assert [hostname(h) for h in ("a:1", "[::1]:8", "LocalHost.", "1.2.3.4")] == ["a", "::1", "localhost", "1.2.3.4"]
    assert "10.0.0.1" not in Guard("127.0.0.1").names
    assert Guard("0.0.0.0").everywhere
