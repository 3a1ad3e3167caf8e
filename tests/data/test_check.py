"""What spoils models is found, and good data is left in peace."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dapeng.checks.base import Finding
from dapeng.checks.look import check
from dapeng.core.spec import Data
from dapeng.data.infer import Guess
from dapeng.data.open import Opened, open_data

RANDOM = np.random.default_rng(0)


def frame(**columns: list) -> Opened:
    return open_data(Data(), objects={"all": columns})


def found(opened: Opened, inputs: dict[str, str], outputs: dict[str, str]) -> dict[str, Finding]:
    plan = [Guess(n, {"type": t}, None, "") for n, t in inputs.items()] + [
        Guess(n, {"type": t}, None, "", True) for n, t in outputs.items()
    ]
    return {f.kind: f for f in check(opened, plan)}


LABELS = ["ab"[i] for i in RANDOM.integers(0, 2, 500)]
NOISE = RANDOM.normal(size=500).tolist()


def test_good_data_has_no_findings() -> None:
    assert found(frame(x=NOISE, y=LABELS), {"x": "number"}, {"y": "category"}) == {}


@pytest.mark.parametrize(
    ("leak", "kind", "target", "target_kind"),
    [
        ([label.upper() for label in LABELS], "category", LABELS, "category"),
        ([1.0 if label == "a" else 5.0 for label in LABELS], "number", LABELS, "category"),
        ([RANDOM.normal() + (100 if label == "a" else 0) for label in LABELS], "number", LABELS, "category"),
        ([3 * x + 1 for x in NOISE], "number", NOISE, "number"),
        ([np.exp(x) for x in NOISE], "number", NOISE, "number"),
    ],
    ids=["copy", "code", "threshold", "scaled", "monotone"],
)
def test_t32_a_column_that_gives_the_answer_away(leak: list, kind: str, target: list, target_kind: str) -> None:
    opened = frame(leak=leak, x=RANDOM.normal(size=500).tolist(), y=target)
    assert found(opened, {"leak": kind, "x": "number"}, {"y": target_kind})["leak"].columns == ("leak", "y")


def test_unique_names_are_no_leak_but_like_an_id() -> None:
    opened = frame(name=[f"n{i}" for i in range(500)], y=LABELS)
    assert set(found(opened, {"name": "category"}, {"y": "category"})) == {"id"}


def test_rows_of_test_that_are_in_train_are_counted() -> None:
    train = {"x": NOISE[:400], "y": LABELS[:400]}
    test = {"x": NOISE[390:500], "y": LABELS[390:500]}
    finding = found(open_data(Data(), objects={"train": train, "test": test}), {"x": "number"}, {"y": "category"})[
        "split"
    ]
    assert finding.text.startswith("10 rows of test")
    assert finding.rows[0] == 400, "positions are those of the whole data"


def test_equal_inputs_with_different_answers() -> None:
    opened = frame(x=NOISE + NOISE, y=LABELS + ["ab"[label == "a"] for label in LABELS])
    assert "conflict" in found(opened, {"x": "number"}, {"y": "category"})


def test_constants_rare_labels_and_imbalance() -> None:
    labels = ["common"] * 480 + ["other"] * 18 + ["rare"] * 2
    kinds = found(frame(x=NOISE, one=["same"] * 500, y=labels), {"x": "number", "one": "category"}, {"y": "category"})
    assert {"constant", "rare", "imbalance"} <= set(kinds)
    assert "'rare' (2)" in kinds["rare"].text


def test_a_constant_target_is_an_error() -> None:
    assert found(frame(x=NOISE, y=["a"] * 500), {"x": "number"}, {"y": "category"})["constant"].severity == "error"


def test_labels_that_only_look_alike() -> None:
    words = ["open", "Open", "оpen", "open ", "shut"] * 100
    kinds = found(frame(w=words, x=NOISE, y=LABELS), {"w": "category", "x": "number"}, {"y": "category"})
    assert {"case", "lookalike", "variants"} <= set(kinds)


def test_pictures_that_cannot_be_read() -> None:
    opened = open_data(Data(), objects={"all": pa.table({"image": [b"not a picture"] * 3, "y": ["a", "b", "a"]})})
    assert found(opened, {"image": "image"}, {"y": "category"})["unreadable"].rows == (0, 1, 2)


def test_an_id_among_the_inputs_is_found_with_what_keeps_its_rows_together() -> None:
    users = [f"u{i % 60}" for i in range(600)]
    frame = pa.table({"user_id": users, "x": [0.5 * i for i in range(600)], "y": ["a", "b"] * 300})
    found = check(
        open_data(Data(), None, {"all": frame}),
        [Guess("user_id", {"type": "category"}), Guess("y", {"type": "category"}, target=True)],
    )
    texts = [f.text for f in found if f.kind == "group"]
    assert len(texts) == 1
    assert "60 different ones" in texts[0]
    assert "columns: {user_id: group}" in texts[0]
