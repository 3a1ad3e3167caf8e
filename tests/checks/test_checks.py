"""Each kind of finding is found where it was planted, with the row named as the file names it, and nowhere else."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dapeng import api
from dapeng.checks.base import Finding
from dapeng.checks.look import check
from dapeng.checks.near_duplicates import bare
from dapeng.checks.unicode import wrongly_decoded
from dapeng.cli.check import lines
from dapeng.cli.main import main
from dapeng.core.errors import DapengError
from dapeng.core.kinds import checks, samples
from dapeng.core.spec import Data
from dapeng.data.infer import Guess
from dapeng.data.open import open_data

RANDOM = np.random.default_rng(0)
ROWS = 400
NOISE = RANDOM.normal(size=ROWS).round(6).tolist()
LABELS = ["ab"[i] for i in RANDOM.integers(0, 2, ROWS)]


def found(
    columns: dict[str, list], kinds: dict[str, str], sides: np.ndarray | None = None, **options: object
) -> list[Finding]:
    plan = [Guess(n, {"type": t}, None, "", n == "y") for n, t in kinds.items()]
    return check(open_data(Data(), objects={"all": columns}), plan, sides, **options)  # type: ignore[arg-type]


def of_kind(findings: list[Finding], kind: str) -> list[Finding]:
    return [f for f in findings if f.kind == kind]


def test_every_check_is_a_file_of_its_own_that_registers_itself() -> None:
    members = checks.members()
    assert len(members) >= 14
    assert all(m.__module__.startswith("dapeng.checks.") for m in members.values())
    assert len({m.__module__ for m in members.values()}) == len(members)


def test_missing_cells_are_counted_and_their_absence_is_held_against_the_answer() -> None:
    telling = [None if y == "a" and i % 2 else x for i, (x, y) in enumerate(zip(NOISE, LABELS))]
    silent = [None if i % 10 == 0 else x for i, x in enumerate(NOISE)]
    every = of_kind(
        found({"t": telling, "s": silent, "y": LABELS}, {"t": "number", "s": "number", "y": "category"}), "missing"
    )
    by_name = {f.columns[0]: f for f in every}
    assert by_name["s"].severity == "info"
    assert "40 of 400 cells (10.0%)" in by_name["s"].text
    assert by_name["t"].severity == "warning"
    assert "y is 'a' in 100% of these rows" in by_name["t"].text
    assert by_name["s"].where[:2] == ("the data frame row 0", "the data frame row 10")


def test_an_outlier_is_shown_with_its_row_and_skewed_columns_keep_their_tail() -> None:
    planted = list(NOISE)
    planted[77] = 1e6
    tail = np.exp(RANDOM.normal(size=ROWS)).tolist()
    every = of_kind(
        found({"x": planted, "z": tail, "y": LABELS}, {"x": "number", "z": "number", "y": "category"}), "outliers"
    )
    x = next(f for f in every if f.columns == ("x",))
    assert x.rows == (77,)
    assert x.examples == ("1,000,000",)
    assert sum(len(f.rows) for f in every if f.columns == ("z",)) <= 0.01 * ROWS


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("zero\u200bwidth space", "can't be seen"),
        ("a lost \ufffd letter", "replacement character"),
        ("a cafÃ© in town", "another encoding"),
        ("donâ€™t do that", "another encoding"),
        ("锟斤拷 was Chinese once", "another encoding"),
        ("a cafe\u0301 of two marks", "NFD beside NFC"),
        ("a pаypal letter", "alphabets"),
    ],
)
def test_letters_that_are_not_what_they_seem_are_shown_with_their_row(cell: str, what: str) -> None:
    texts = [f"plain text number {i} with a café" for i in range(100)]
    texts[42] = cell
    every = of_kind(found({"t": texts, "y": LABELS[:100]}, {"t": "text", "y": "category"}), "unicode")
    assert [(what in f.text, f.rows) for f in every] == [(True, (42,))]


@pytest.mark.parametrize(
    "text",
    ["Ça va très bien, señor", "Ã la carte", "âge", "太好看了", "naïve façade", "Grüße", "ÇA VA", "в порядке", "ça €5"],
)
def test_letters_of_other_languages_are_no_damage(text: str) -> None:
    assert not wrongly_decoded(text)
    assert not of_kind(
        found({"t": [text, "other"] * 50, "y": LABELS[:100]}, {"t": "category", "y": "category"}), "unicode"
    )


def test_equal_rows_are_found_across_a_split_that_is_made_and_not_given(tmp_path: Path) -> None:
    lines = ["x,z,y", *(f"{x},{i % 7},{y}" for i, (x, y) in enumerate(zip(NOISE, LABELS)))]
    (tmp_path / "d.csv").write_text("\n".join([*lines, *lines[1:101]]) + "\n")
    split = {"by": "random"}
    spec = {
        "data": {"path": str(tmp_path / "d.csv"), "split": split},
        "inputs": {"x": "number", "z": "number"},
        "outputs": {"y": "category"},
    }
    made = of_kind(api.check(spec, fast=True), "split")
    assert {f.text.split(" rows of ")[1].split(" ")[0] for f in made} == {"validation", "test"}
    for finding in made:
        assert finding.where[0].startswith("d.csv:")
        at = int(finding.where[0].split(":")[1])
        partner = int(finding.examples[0].split("d.csv:")[1].split(" ")[0])
        assert abs(at - partner) == ROWS, "a row is shown with its equal"


def test_equal_rows_are_found_across_folds() -> None:
    spread = np.arange(2 * ROWS) % 5
    columns = {"x": NOISE + NOISE, "y": LABELS + LABELS}
    every = of_kind(found(columns, {"x": "number", "y": "category"}, spread, folds=True), "split")
    assert not every, "pairs are 400 rows apart: the same fold"
    shifted = np.where(np.arange(2 * ROWS) < ROWS, spread, (spread + 1) % 5)
    every = of_kind(found(columns, {"x": "number", "y": "category"}, shifted, folds=True), "split")
    assert every[0].text.startswith("800 rows of one fold (100.0%) are in another fold too")


def test_texts_that_differ_in_case_blanks_and_marks_alone_are_near_duplicates() -> None:
    texts = [f"a review of film number {i}, quite long" for i in range(100)]
    texts[90], texts[91], texts[92] = "A review of film number 3 quite LONG!", texts[4], "ok"
    texts[5] = "OK!"
    sides = np.repeat([0, 2], [80, 20]).astype(np.int8)
    every = found({"t": texts, "y": LABELS[:100]}, {"t": "text", "y": "category"}, sides)
    near = of_kind(every, "near_duplicates")
    assert len(near) == 1
    assert near[0].rows == (90,)
    assert "the data frame row 3" in near[0].examples[0]
    assert of_kind(every, "split")[0].rows == (91,), "the very same text is said once, as a duplicate"


def test_what_is_left_of_a_text() -> None:
    assert bare("  Très BIEN, Ｆｕｌｌ-width! ") == bare("très bien full width")


def test_the_same_picture_under_two_names_is_found_across_the_split(tmp_path: Path) -> None:
    from PIL import Image

    for name in range(20):
        Image.fromarray(RANDOM.integers(0, 255, (8, 8), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "19.png").write_bytes((tmp_path / "2.png").read_bytes())
    table = pa.table({"image": [f"{tmp_path}/{i}.png" for i in range(20)], "y": LABELS[:20]})
    sides = np.repeat([0, 2], [15, 5]).astype(np.int8)
    every = found(dict(zip(table.column_names, table.columns)), {"image": "image", "y": "category"}, sides)
    same = [f for f in of_kind(every, "same_pictures") if f.severity == "warning"]
    assert len(same) == 1
    assert same[0].rows == (19,)


def digits_with_errors(rows: int = 900) -> tuple[pa.Table, np.ndarray]:
    """Real digits of which one in twenty has another's label, and which."""
    try:
        table = samples.members()["digits"]().load()["all"].read()
    except DapengError as error:
        pytest.skip(f"sample:digits is not here: {error}")
    table = table.slice(0, rows)
    labels = np.array(table.column("label").to_pylist())
    draw = np.random.default_rng(0)
    planted = np.sort(draw.choice(rows, rows // 20, replace=False))
    for row in planted:
        labels[row] = draw.choice(np.setdiff1d(np.unique(labels), [labels[row]]))
    return table.set_column(table.column_names.index("label"), "label", pa.array(labels.tolist())), planted


def test_planted_wrong_labels_are_shown_first_with_the_likely_label() -> None:
    table, planted = digits_with_errors()
    plan = [Guess("image", {"type": "image"}), Guess("label", {"type": "category"}, target=True)]
    every = of_kind(check(open_data(Data(), objects={"all": table}), plan, seconds=60), "label_errors")
    assert len(every) == 1
    assert len(every[0].rows) == 10
    assert np.isin(every[0].rows, planted).mean() >= 0.9
    assert all("likely" in e for e in every[0].examples)


def test_labels_that_the_inputs_do_not_tell_are_not_called_wrong() -> None:
    notes: list[str] = []
    every = found({"x": NOISE, "y": LABELS}, {"x": "number", "y": "category"}, seconds=20, notes=notes)
    assert not of_kind(every, "label_errors")
    assert any("can't be told from hard rows" in n for n in notes)


def test_a_skipped_search_for_wrong_labels_is_said() -> None:
    notes: list[str] = []
    found({"x": NOISE[:40], "y": LABELS[:40]}, {"x": "number", "y": "category"}, seconds=20, notes=notes)
    assert any("too few" in n for n in notes)


def test_output_of_one_kind_stays_short() -> None:
    many = [
        Finding("outliers", (f"c{i}",), (1, 2), f"c{i}: far", "info", ("a", "b"), ("f:1", "f:2")) for i in range(60)
    ]
    shown = lines(many)
    assert len(shown) <= 11
    assert "and 56 more like these" in shown[-1]
    assert "c59" in shown[-1]


def test_json_has_every_finding_with_its_rows_and_the_command_says_what_the_data_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in zip([*NOISE[:-1], 1e9], LABELS)))
    (tmp_path / "s.yaml").write_text(f"data: {tmp_path / 'd.csv'}\ninputs: {{x: number}}\noutputs: {{y: category}}\n")
    assert main(["check", str(tmp_path / "s.yaml"), "--json", "--fast"]) == 0
    done = capsys.readouterr()
    far = [f for f in json.loads(done.out) if f["kind"] == "outliers"]
    assert far[0]["where"] == [f"d.csv:{ROWS + 1}"]
    assert far[0]["rows"] == [ROWS - 1]
    assert "bytes a row prepared" in done.err
    assert "--fast" in done.err


ODD: dict[str, Any] = {
    "floats": [None if i % 7 == 0 else float(i) for i in range(60)],
    "infinite": [float("inf") if i == 3 else float(i) for i in range(60)],
    "large": [10**17 + i for i in range(60)],
    "truth": [bool(i % 2) for i in range(60)],
    "lists": [[f"a{i % 3}", "b"] if i % 4 else None for i in range(60)],
    "vectors": [[1.0, 2.0, float(i)] for i in range(60)],
    "bytes": [b"\x89PNG" if i % 3 else None for i in range(60)],
    "nothing": [None] * 60,
    "not a number": [float("nan")] * 60,
    "dates": [datetime(2020, 1, 1) + timedelta(i) for i in range(60)],
    "zeros": ["a\x00b"] * 30 + ["c"] * 30,
}


@pytest.mark.parametrize("cells", ODD)
@pytest.mark.parametrize("kind", ["number", "category", "text", "image", "set", "vector", "date"])
def test_no_kind_of_cell_breaks_a_check(kind: str, cells: str) -> None:
    sides = (np.arange(60) % 3).astype(np.int8)
    for columns in ({"x": ODD[cells], "y": LABELS[:60]}, {"x": NOISE[:60], "y": ODD[cells]}):
        kinds = {"x": kind, "y": "category"} if columns["x"] is ODD[cells] else {"x": "number", "y": kind}
        for finding in found(columns, kinds, sides):
            assert finding.text
            assert len(finding.where) == len(finding.rows)
            assert len(finding.examples) in (0, len(finding.rows))


def test_parts_of_one_file_belong_on_one_side_and_whole_files_stand_alone() -> None:
    cells = ["a.nii#0", "a.nii#1", "b.nii.gz#0", "b.nii.gz#1", "c.nii", "c.nii", "d#0", "d#1", None, None]
    sides = np.array([0, 2, 1, 1, 0, 2, 0, 2, 0, 2], np.int8)
    for kind, what in (("volume", "volumes"), ("image", "slices")):
        columns: dict[str, list] = {"scan": cells, "y": list("ababababab")}
        (one,) = of_kind(found(columns, {"scan": kind, "y": "category"}, sides), "same_scans")
        assert one.severity == "warning"
        assert one.rows == (1,)
        assert one.examples == ("'a.nii#1'",)
        assert f"scan: 1 rows of test (25.0%) are {what} of a file of which train has others" in one.text
        assert "`columns: {patient: group}`" in one.text
        folds = np.array([0, 1, 1, 1, 0, 1, 0, 1, 0, 1], np.int8)
        (one,) = of_kind(found(columns, {"scan": kind, "y": "category"}, folds, folds=True), "same_scans")
        assert one.rows == (0, 1)
        together = np.array([0, 0, 1, 1, 0, 2, 0, 2, 0, 2], np.int8)
        assert not of_kind(found(columns, {"scan": kind, "y": "category"}, together), "same_scans")
