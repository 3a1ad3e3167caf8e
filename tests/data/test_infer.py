"""Guesses of types and roles, each with a reason, and the spec that `init` prints."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from dapeng.core.errors import DataError
from dapeng.core.kinds import columns as column_types
from dapeng.data.infer import Guess, answers, guess, infer, init_yaml
from dapeng.data.table import Frame

ENGLISH = [f"this is review number {i} and it says a few things" for i in range(100)]
CHINESE = [f"这是第{i}条评论，房间很干净，服务也不错" for i in range(100)]


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "cells", "target", "expected"),
    [
        ("price", [f"{i}.5" for i in range(100)], False, "number"),
        ("price", [float(i) for i in range(100)], True, "number"),
        ("price", ["1.5", "n/a", "?", "-", "NA", "null", ""] + [f"{i}.5" for i in range(100)], False, "number"),
        ("price", ["$1,234.50", "12%", "(300)"] * 30, False, "number"),
        ("age", [str(20 + i % 50) for i in range(500)], False, "number"),
        ("digit", [str(i % 10) for i in range(500)], True, "category"),
        ("digit", [i % 10 for i in range(500)], True, "category"),
        ("label", ["yes", "no"] * 50, True, "category"),
        ("flag", [True, False] * 50, False, "category"),
        ("flag", ["0", "1"] * 50, False, "category"),
        ("colour", ["red", "green", "blue"] * 40, False, "category"),
        ("country", ["NA", "DE", "CN"] * 40, False, "category"),
        ("review", ENGLISH, False, "text"),
        ("评论", CHINESE, False, "text"),
        ("photo", [f"photos/{i}.JPG" for i in range(100)], False, "image"),
        ("photo", [png()] * 3, False, "image"),
        ("account", [str(2**60 + i % 7) for i in range(100)], True, "category"),
    ],
)
def test_the_type_of_a_column(name: str, cells: list, target: bool, expected: str) -> None:
    found = guess(name, pa.array(cells), target)
    assert found.role is None
    assert found.options["type"] == expected
    assert found.reason


@pytest.mark.parametrize(
    ("name", "cells", "role"),
    [
        ("unnamed 1", [str(i) for i in range(50)], "ignore"),
        ("constant", ["a"] * 50, "ignore"),
        ("empty", [None] * 50, "ignore"),
        ("user_id", [f"user{i}" for i in range(50)], "id"),
        ("key", [2**60 + i for i in range(50)], "id"),
        ("number", list(range(1, 51)), "id"),
        ("code", [f"A{i:04d}X" for i in range(50)], "id"),
    ],
)
def test_columns_that_should_not_be_read_get_a_role_and_a_reason(name: str, cells: list, role: str) -> None:
    found = guess(name, pa.array(cells), False)
    assert (found.role, found.options) == (role, {})
    assert found.reason


@pytest.mark.parametrize(
    ("name", "cells", "role"),
    [
        ("patient", [f"P{i // 4:03d}" for i in range(400)], "group"),
        ("user_id", [i % 150 for i in range(900)], "group"),
        ("Customer ID", [str(2**60 + i % 100) for i in range(900)], "group"),
        ("患者编号", [f"甲{i % 60}" for i in range(300)], "group"),
        ("speaker", ["Ann", "Bob", "Eve"] * 100, None),
        ("device", [f"type {i % 5}" for i in range(300)], None),
        ("user_rating", [i % 150 for i in range(900)], None),
        ("product_code", [f"A{i % 100}" for i in range(900)], None),
        ("customers", [100 + i % 90 for i in range(900)], None),
        ("occupation_of_client", [f"trade {i % 40}" for i in range(900)], None),
    ],
)
def test_ids_of_people_and_things_with_several_rows_are_proposed_as_groups(
    name: str, cells: list, role: str | None
) -> None:
    source = Frame(pa.table({name: cells, "x": [0.5 * i for i in range(len(cells))]}))
    found = infer(source)[0]
    assert found.role == role
    if role:
        assert "the split keeps rows of one together" in found.reason
        assert f"columns:\n  {name}: group" in init_yaml(source, infer(source))


def test_of_several_ids_the_coarsest_groups_and_one_that_was_said_stays_alone() -> None:
    columns = {"user_id": [i // 8 for i in range(800)], "session_id": [i // 2 for i in range(800)], "x": [0.5] * 800}
    assert [g.role for g in infer(Frame(pa.table(columns)))] == ["group", "id", "ignore"]
    assert [g.role for g in infer(Frame(pa.table(columns)), roles={"x": "group"})][:2] == [None, None]


def test_a_sorted_table_is_looked_at_beyond_its_first_rows() -> None:
    source = Frame(pa.table({"x": list(range(100_000)), "y": [f"class {i // 10_000}" for i in range(100_000)]}))
    found = {g.name: g for g in infer(source, ["y"])}
    assert found["y"].options == {"type": "category"}
    assert found["y"].reason.startswith("10 different labels")


def test_roles_and_targets_are_taken_as_said_and_misspelt_ones_named() -> None:
    source = Frame(pa.table({"patient": ["a", "b"] * 10, "y": [1.5, 2.5] * 10}))
    found = infer(source, ["y"], {"patient": "group"})
    assert [(g.role, g.target) for g in found] == [("group", False), (None, True)]
    with pytest.raises(DataError, match="did you mean 'patient'"):
        infer(source, ["y"], {"pateint": "group"})


def test_a_column_type_may_guess_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own:
        @classmethod
        def guess(cls, cells: pa.Array, as_target: bool) -> tuple[float, str]:
            return 0.9, "SMILES strings"

    monkeypatch.setattr(column_types, "members", lambda: {"molecule": Own})
    assert guess("x", pa.array(ENGLISH), False) == Guess("x", {"type": "molecule"}, None, "SMILES strings")


def test_the_printed_spec_is_yaml_with_a_reason_on_each_line() -> None:
    names = {
        "price": [1.5 * i for i in range(60)],
        "no": ["a", "b", "c"] * 20,
        "a: b #c": ENGLISH[:60],
        "评论": CHINESE[:60],
        "id": list(range(60)),
        "y": ["p", "q"] * 30,
    }
    source = Frame(pa.table(names), "reviews.csv")
    text = init_yaml(source, infer(source, ["y"]))
    spec = yaml.safe_load(text)
    assert spec == {
        "data": "reviews.csv",
        "inputs": {"price": "number", "no": "category", "a: b #c": "text", "评论": "text"},
        "outputs": {"y": "category"},
        "columns": {"id": "id"},
    }
    assert all("# " in line for line in text.splitlines() if line.startswith("  "))


def pictures_of(values: list[int], count: int, seed: int = 0) -> list[bytes]:
    """Grey PNGs of 24 x 32 pixels, each pixel one of these values."""
    draw = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        file = io.BytesIO()
        Image.fromarray(draw.choice(np.array(values, np.uint8), (24, 32))).save(file, "PNG")
        out.append(file.getvalue())
    return out


def test_label_pictures_are_told_by_the_pictures_that_they_lie_on() -> None:
    photos = pictures_of(list(range(256)), 30)
    blank, missing = pictures_of([0], 5), [b"no picture"]
    masks = [*blank, *missing, *pictures_of([0, 128, 255], 24, 1)]
    source = Frame(pa.table({"photo": photos, "mask": masks}))
    assert answers(source, infer(source)) == ["mask"]
    (photo, mask) = infer(source, ["mask"])
    assert photo.options == {"type": "image"}
    assert mask.options == {"type": "mask"}
    assert mask.reason == "label pictures with the values 0, 128, 255, as large as the pictures of photo"


def test_of_two_pictures_the_one_that_labels_lie_on_is_named_and_other_labels_are_not_read() -> None:
    columns = {"photo": list(range(256)), "infrared": list(range(256)), "mask": [0, 255], "other": [0, 1, 2]}
    source = Frame(pa.table({n: pictures_of(v, 6, i) for i, (n, v) in enumerate(columns.items())}))
    photo, infrared, mask, other = infer(source, ["mask"])
    assert photo.options == infrared.options == {"type": "image"}
    assert mask.options == {"type": "mask", "of": "photo"}
    assert (other.role, other.answer) == ("ignore", True)
    assert infer(source, [])[3].options == {"type": "image"}, "where no answer is a picture, pictures are read"


@pytest.mark.parametrize("other", ["alike", "smaller", "alone"])
def test_pictures_that_are_no_labels_of_others_stay_pictures(other: str) -> None:
    columns = {"drawn": pictures_of([0, 255], 6)}
    if other == "alike":
        columns["photo"] = pictures_of([0, 9, 255], 6, 1)
    elif other == "smaller":
        columns["photo"] = []
        for picture in pictures_of(list(range(256)), 6, 1):
            file = io.BytesIO()
            Image.open(io.BytesIO(picture)).resize((16, 24)).save(file, "PNG")
            columns["photo"].append(file.getvalue())
    source = Frame(pa.table(columns))
    assert answers(source, infer(source)) == []
    assert next(g for g in infer(source, ["drawn"]) if g.name == "drawn").options == {"type": "image"}
