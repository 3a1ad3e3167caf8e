"""Dates, sets of labels and lists of numbers over HTTP and on the page: as inputs, and the latter two as outputs."""

from __future__ import annotations

import csv
import io
import shutil
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from server import Server, serving

from dapeng.columns.base import Entry
from dapeng.data.table import Frame
from dapeng.serve.cells import Unfit, reader_for
from trained import market_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
GOOD: dict[str, Any] = {"day": "05/07/2019", "stalls": ["eggs", "leeks"], "lots": ["lot 3"], "prices": [2.5, 3.5, 4.5]}


@pytest.fixture(scope="module")
def server():
    with serving(market_run()[0].path) as running:
        yield running


def asked(server: Server, **changes: Any) -> Any:
    status, reply = server.ask("/predict", {**GOOD, **changes})
    assert status == 200, reply
    return reply["predictions"][0]


def test_answers_equal_those_of_the_product(server: Server):
    rows = market_run()[2].slice(0, 20).select(list(GOOD))
    own = market_run()[1].predict(Frame(rows))
    status, reply = server.ask("/predict", {"rows": rows.to_pylist()})
    assert status == 200
    assert [p["sold"]["value"] for p in reply["predictions"]] == own.values["sold"]
    served = np.array([p["tomorrow"]["value"] for p in reply["predictions"]])
    np.testing.assert_allclose(served, np.array(own.values["tomorrow"]), rtol=1e-5)
    p = np.array([list(p["sold"]["probabilities"].values()) for p in reply["predictions"]])
    np.testing.assert_allclose(p, own.tensors["sold"]["probabilities"], atol=1e-5)


def test_a_set_is_answered_as_a_list_with_the_probability_of_each_label_and_a_vector_as_a_list_of_numbers(
    server: Server,
):
    found = asked(server)
    labels = found["sold"]["probabilities"]
    assert set(labels) == {"apples", "leeks", "eggs", "tea; green"}
    assert sorted(found["sold"]["value"]) == sorted(v for v, p in labels.items() if p >= 0.5)
    assert {"eggs", "leeks"} <= set(found["sold"]["value"])
    assert len(found["tomorrow"]["value"]) == 3
    assert all(isinstance(v, float) for v in found["tomorrow"]["value"])


@pytest.mark.parametrize(
    "same",
    [
        {"day": "2019-07-05"},
        {"day": "2019-07-05T00:00"},
        {"day": " 5/7/2019 "},
        {"prices": "2.5 3.5 4.5"},
        {"prices": "[2.5, 3.5, 4.5]"},
        {"prices": ["2.5", 3.5, 4.5]},
        {"stalls": ["leeks", "eggs", "eggs", None]},
        {"stalls": '["eggs", "leeks"]'},
        {"lots": "lot 3"},
    ],
)
def test_other_ways_to_write_the_same_give_the_same_answer(server: Server, same: dict[str, Any]):
    assert asked(server, **same) == asked(server)


def test_other_values_give_another_answer(server: Server):
    first = asked(server)
    for other in ({"day": "05/12/2019"}, {"prices": [0.5, 1.5, 2.5]}, {"stalls": ["apples"]}):
        assert asked(server, **other) != first


def test_cells_that_are_not_there_are_missing(server: Server):
    nothing = asked(server, day=None, stalls=None, lots=None, prices=None)
    assert nothing == asked(server, day="", stalls="", lots="", prices=" ")
    assert nothing != asked(server)


def test_rows_of_several_kinds_go_in_one_batch(server: Server):
    rows = [GOOD, {**GOOD, "day": None, "stalls": None}, {**GOOD, "stalls": "eggs", "prices": None, "lots": []}]
    status, reply = server.ask("/predict", {"rows": rows})
    assert status == 200
    alone = [server.ask("/predict", r)[1]["predictions"][0] for r in rows]
    for a, b in zip(alone, reply["predictions"]):
        np.testing.assert_allclose(a["tomorrow"]["value"], b["tomorrow"]["value"], rtol=1e-5)
        assert a["sold"]["value"] == b["sold"]["value"]


@pytest.mark.parametrize(
    ("column", "value", "expected", "found"),
    [
        ("day", "tomorrow", "a date (day/month/year, or ISO 8601)", "'tomorrow' is not a date (such as "),
        ("day", "2019-02-30", "a date", "'2019-02-30' is not a date"),
        ("day", "July 5, 2019", "a date", "is not written like the others"),
        ("day", ["05/07/2019"], "a date", "no text and no number"),
        ("day", True, "a date", "no text and no number"),
        ("prices", [1, 2], "3 numbers", "2 numbers, where 3 are expected"),
        ("prices", [1, "dear", 2], "3 numbers", "'dear' in place 2"),
        ("prices", [1, 2, ""], "3 numbers", "nothing in place 3"),
        ("prices", [1, 2, [3]], "3 numbers", "[3] in place 3"),
        ("prices", [1, True, 3], "3 numbers", "True in place 2"),
        ("prices", {"0": 1}, "3 numbers", "an object"),
        ("prices", [1, 1e39, 3], "3 numbers", "not every number is finite"),
        ("prices", "cheap", "3 numbers", "'cheap' is not a list of numbers"),
        ("stalls", {"eggs": 1}, "a list of labels", "an object"),
        ("stalls", [["eggs"]], "a list of labels", "a list that holds no labels alone"),
    ],
)
def test_what_is_wrong_names_the_column(server: Server, column: str, value: Any, expected: str, found: str):
    status, reply = server.ask("/predict", {"rows": [GOOD, {**GOOD, column: value}]})
    assert status == 400
    (problem,) = reply["problems"]
    assert problem["where"] == f"rows[1].{column}"
    assert problem["expected"].startswith(expected)
    assert found in problem["found"]


def test_labels_that_training_never_saw_are_said(server: Server):
    status, reply = server.ask("/predict", {**GOOD, "stalls": ["eggs", "caviar"]})
    assert status == 200
    assert reply["notes"] == ["stalls: label 'caviar' was not seen in training; it is read as unknown"]


def test_csv_holds_lists_as_the_column_writes_them(server: Server):
    body = b'day,stalls,lots,prices\n05/07/2019,"[""eggs"", ""leeks""]",lot 3,2.5 3.5 4.5\n'
    status, text = server.ask("/predict", body, content_type="text/csv", accept="text/csv")
    assert status == 200
    (row,) = csv.DictReader(io.StringIO(text))
    expected = asked(server)
    assert row["sold"] == market_run()[1].outputs["sold"].joint.join(expected["sold"]["value"])
    assert [float(v) for v in row["tomorrow"].split()] == expected["tomorrow"]["value"]


def test_the_inference_protocol_takes_and_gives_lists_of_numbers_as_a_second_axis(server: Server):
    name = market_run()[0].name
    about = server.ask(f"/v2/models/{name}")[1]
    assert {"name": "prices", "datatype": "FP32", "shape": [-1, 3]} in about["inputs"]
    assert {"name": "tomorrow", "datatype": "FP32", "shape": [-1, 3]} in about["outputs"]

    def tensors(data: list[Any], shape: list[int]) -> dict[str, Any]:
        texts = {"day": "05/07/2019", "stalls": '["eggs", "leeks"]', "lots": "lot 3"}
        cells = [{"name": n, "datatype": "BYTES", "shape": [2], "data": [v, v]} for n, v in texts.items()]
        return {"inputs": [*cells, {"name": "prices", "datatype": "FP32", "shape": shape, "data": data}]}

    where = f"/v2/models/{name}/infer"
    for data in ([2.5, 3.5, 4.5] * 2, [[2.5, 3.5, 4.5]] * 2):
        status, reply = server.ask(where, tensors(data, [2, 3]))
        assert status == 200, reply
        found = next(o for o in reply["outputs"] if o["name"] == "tomorrow")
        assert found["shape"] == [2, 3]
        np.testing.assert_allclose(found["data"], asked(server)["tomorrow"]["value"] * 2, rtol=1e-5)
    for data, shape in (([2.5] * 4, [2, 2]), ([2.5] * 5, [2, 3])):
        status, reply = server.ask(where, tensors(data, shape))
        assert status == 400
        assert "inputs[3]" in reply["problems"][0]["where"]


def test_openapi_says_what_lists_hold(server: Server):
    schemas = server.ask("/openapi.json")[1]["components"]["schemas"]
    row, answer = schemas["Row0"]["properties"], schemas["Prediction0"]["properties"]
    assert row["stalls"]["type"] == ["array", "string", "null"]
    assert [len(e) for e in row["stalls"]["examples"]] == [3]
    assert row["prices"]["items"] == {"type": "number"}
    assert row["day"]["type"] == ["string", "number", "null"]
    assert set(answer["sold"]["properties"]["value"]["items"]["enum"]) == {"apples", "leeks", "eggs", "tea; green"}
    assert (answer["tomorrow"]["properties"]["value"]["minItems"], answer["tomorrow"]["required"]) == (3, ["value"])


def test_learners_read_what_was_handed_over_as_they_read_data():
    inputs, table = market_run()[1].inputs, market_run()[2].slice(0, 5)
    for name, column in inputs.items():
        reader = reader_for(column)
        cells = [*table.column(name).to_pylist(), None]
        handed = [reader.check(v, []) for v in cells]
        np.testing.assert_array_equal(reader.matrix(handed), column.matrix(pa.array(cells)))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_has_controls_for_them_and_shows_lists(server: Server):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB")
        broken: list[str] = []
        page.on("pageerror", lambda e: broken.append(str(e)))
        page.goto(server.url)
        sent: list[Any] = []
        page.on("request", lambda r: r.method == "POST" and sent.append(r.post_data_json["rows"][0]))
        assert page.get_by_label("day").get_attribute("type") == "date"
        page.get_by_label("day").fill("2019-07-05")
        page.get_by_role("group", name="stalls").get_by_label("eggs").check()
        page.get_by_role("group", name="stalls").get_by_label("tea; green").check()
        lots = page.get_by_label("lots")
        for label in ("lot 3", "lot 4"):
            lots.fill(label)
            lots.press("Enter")
        page.get_by_role("button", name="remove lot 4").click()
        lots.fill("lot 5")  # without Enter
        page.get_by_label("prices, number 2").fill("3.5")
        page.get_by_role("button", name="Predict").click()
        page.locator(".answer").first.wait_for()
        assert sorted(sent[0]["stalls"]) == ["eggs", "tea; green"]
        assert sent[0]["lots"] == ["lot 3", "lot 5"]
        assert (sent[0]["day"], sent[0]["prices"][1], len(sent[0]["prices"])) == ("2019-07-05", 3.5, 3)
        sold, tomorrow = page.locator(".answer").nth(0), page.locator(".answer").nth(1)
        expected = server.ask("/predict", sent[0])[1]["predictions"][0]
        assert sold.locator(".value li").all_inner_texts() == expected["sold"]["value"]
        assert expected["sold"]["value"], "no label is shown: the test proves little"
        assert sold.locator(".bars li").count() == 4
        shown = [float(t) for t in tomorrow.locator(".value li").all_inner_texts()]
        np.testing.assert_allclose(shown, expected["tomorrow"]["value"], rtol=1e-5)
        page.get_by_label("prices, number 3").fill("dear")
        page.get_by_role("button", name="Predict").click()
        page.locator(".error").wait_for()
        assert page.locator(".error").inner_text() == "prices: expected 3 numbers, found 'dear' in place 3"
        page.get_by_label("day").fill("")
        for place in (1, 2, 3):
            page.get_by_label(f"prices, number {place}").fill("")
        page.get_by_role("button", name="Predict").click()
        page.locator(".answer").first.wait_for()
        assert (sent[-1]["day"], sent[-1]["prices"]) == (None, None)
        assert broken == []
        browser.close()


@pytest.mark.parametrize(
    ("written", "posted"),
    [
        (["2024-03-05", "2024-02-29", "2023-01-01"], "2024-03-05"),
        (["5/13/2024", "2/28/2024", "1/30/2023"], "2024-03-05"),
        (["20240305", "20240229", "20230101"], "2024-03-05"),
        (["2024年3月5日", "2024年2月29日", "2023年1月1日"], "2024-03-05"),
        (["1709596800", "1709164800", "1672531200"], "1709596800"),
        ([1709596800.0, 1709164800.0, 1672531200.0], 1709596800.0),
    ],
)
def test_a_date_of_any_notation_is_taken_in_iso_too(written: list[Any], posted: Any):
    from dapeng.columns.date import Date

    options = Date(unix="seconds") if posted != "2024-03-05" else Date()
    summary = options.summary(False)
    summary.add(pa.array(written))
    column = options.fitted("d", summary.result(), False)
    reader = reader_for(column)
    assert reader.entry.kind == "date"
    expected = np.datetime64("2024-03-05").astype("datetime64[s]").astype(float)
    for value in (posted, "2024-03-05"):
        cell = reader.check(value, [])
        assert column.seconds(pa.array([cell]))[0] == [expected]
    own = reader.check(written[0], [])
    np.testing.assert_array_equal(
        column.encode(pa.array([own])).tensors["values"], column.encode(pa.array(written[:1])).tensors["values"]
    )
    np.testing.assert_array_equal(reader.matrix([own, None]), column.matrix(pa.array([written[0], None])))
    with pytest.raises(Unfit, match="ISO 8601"):
        reader.check("once upon a time", [])


def test_a_page_asks_for_a_time_where_training_had_times_and_for_many_numbers_in_one_field():
    from test_outside_columns import Outside, page_and_schema  # type: ignore[import-not-found]

    page, schema, _ = page_and_schema(
        Outside("when", Entry("date", "2024-03-05T14:30", bounds=("2024-01-01", "2024-12-31"))),
        Outside("wave", Entry("numbers", " ".join(["0.5"] * 100))),
        Outside("<b>", Entry("labels", choices=["<i>", "x"])),
    )
    assert '<input type="datetime-local" id="f0" data-name="when" data-type="outside" value="2024-03-05T14:30"' in page
    assert "seen in training: 2024-01-01 to 2024-12-31" in page
    assert page.count("<textarea") == 1
    assert "100 numbers, with blanks between them" in page
    assert '<input type="checkbox" value="&lt;i&gt;">' in page
    assert "<b>" not in page
    assert schema["wave"]["items"] == {"type": "number"}
