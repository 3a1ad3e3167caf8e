"""Dates: every notation is read as what it says, ambiguity is said, what is written otherwise is bad, and clocks never crash."""

from __future__ import annotations

import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from dapeng.columns.date import Date, DateColumn
from dapeng.data.infer import guess


def fitted(cells: Any, **options: Any) -> DateColumn:
    made = Date(**options)
    summary = made.summary(False)
    summary.add(pa.array(cells))
    return made.fitted("when", summary.result(), False)


def days(column: DateColumn, cells: Any) -> list[str]:
    seconds, bad = column.seconds(pa.array(cells))
    assert not bad.rows, bad.reasons
    return [str(np.datetime64(int(s), "s")) for s in seconds]


NOTATIONS = {
    "ymd": ("2024-03-05", "2024/3/5 07:08", "2024.03.05 07:08:00", "2024-03-05T07:08:00.5Z", "2024-03-05 07:08+08:00"),
    "dmy": ("25/03/2024", "5/3/2024 07:08", "05.03.2024", "5-3-24 7:08 AM"),
    "mdy": ("03/25/2024", "3/5/2024 07:08", "3/5/24 07:08:09 am"),
    "chinese": ("2024年3月5日", "2024年03月05日 7:08", "2024 年 3 月 5 日7时8分"),
    "compact": ("20240305", "20240305T070800", "202403050708" + "00"),
    "named": ("5 Mar 2024", "05-Mar-2024 07:08", "March 5, 2024", "Tue, 5 Mar 2024 07:08:00 GMT", "5th March 2024"),
    "ym": ("2024-03", "2024年3月"),
}


@pytest.mark.parametrize("family", NOTATIONS)
def test_a_notation_is_found_and_every_form_of_it_means_the_same_day(family: str) -> None:
    cells = list(NOTATIONS[family])
    column = fitted(cells)
    assert column.state["family"] == family
    wanted = "2024-03-01" if family == "ym" else "2024-03-05"
    for cell, found in zip(cells, days(column, cells)):
        assert found[:10] == (wanted if "25" not in cell else "2024-03-25"), cell
        assert found[11:16] in ("00:00", "07:08")


def test_day_and_month_are_told_apart_by_the_cells_that_can_be_read_in_one_way() -> None:
    assert fitted(["1/2/2024", "3/4/2024", "13/5/2024"]).state["family"] == "dmy"
    assert fitted(["1/2/2024", "3/4/2024", "5/13/2024"]).state["family"] == "mdy"


def test_ambiguous_days_and_months_are_said_and_an_order_decides() -> None:
    column = fitted(["1/2/2024", "3/4/2024"])
    assert column.state["family"] == "mdy"
    assert "order: dmy" in column.remarks()[0]
    asked = fitted(["1/2/2024", "3/4/2024"], order="dmy")
    assert not asked.remarks()
    assert days(asked, ["1/2/2024"])[0].startswith("2024-02-01")
    assert days(fitted(["24-02-01", "23-12-31"], order="ymd"), ["24-02-01"])[0].startswith("2024-02-01")
    points = fitted(["1.2.2024", "3.4.2024"])
    assert points.state["family"] == "dmy", "dates between points begin with the day"


def test_mixed_formats_are_read_by_the_dominant_one_and_the_rest_is_bad_with_a_reason() -> None:
    cells = ["2024-03-05"] * 8 + ["03/05/2024", "soon", "2024-02-30", "0000-00-00", "", None, "n/a"]
    column = fitted(cells)
    encoded = column.encode(pa.array(cells))
    assert encoded.bad.rows == [8, 9, 10]
    assert "'03/05/2024' is not written like the others (such as 2024-03-05)" in encoded.bad.reasons[0]
    assert "'soon' is not a date" in encoded.bad.reasons[1]
    assert encoded.present is not None
    assert encoded.present.tolist() == [True] * 8 + [False] * 7
    assert (column.state["missing"], column.state["otherwise"]) == (4, 3)
    assert any("3 cells are not written as the others" in r for r in column.remarks())


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_hours_that_summer_time_skips_or_repeats_are_hours_like_any_other(zone: str) -> None:
    skipped, repeated = "2024-03-31 02:30:00", "2024-10-27 02:30:00"
    assert days(fitted([skipped, repeated]), [skipped])[0] == "2024-03-31T02:30:00"
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    hours = [start + datetime.timedelta(hours=h) for h in range(24 * 366)]
    typed = pa.array(hours, pa.timestamp("us", zone))
    column = fitted(typed)
    seconds, bad = column.seconds(typed)
    wall = [h.astimezone(ZoneInfo(zone)).replace(tzinfo=datetime.UTC).timestamp() for h in hours]
    assert not bad.rows
    np.testing.assert_array_equal(seconds, wall)
    assert np.isfinite(column.encode(typed).tensors["values"]).all()


def test_typed_cells_of_any_unit_are_read_like_text() -> None:
    texts = ["2024-03-05 00:00:00", "1969-12-31 00:00:00"]
    column = fitted(texts)
    whole = np.array(texts, "datetime64[s]")
    for kind in (pa.timestamp("s"), pa.timestamp("ns"), pa.date32(), pa.date64()):
        cells = pa.array(whole.tolist(), pa.timestamp("s")).cast(kind)
        np.testing.assert_array_equal(column.seconds(cells)[0], column.seconds(pa.array(texts))[0])


def test_unix_times_are_read_where_they_are_asked_for() -> None:
    column = fitted([0, 86_400 * 365, 10**9], unix="seconds")
    assert days(column, [10**9]) == ["2001-09-09T01:46:40"]
    assert days(fitted(["0", "1e12"], unix="milliseconds"), ["1000000000000"]) == ["2001-09-09T01:46:40"]
    assert column.encode(pa.array(["x"])).bad.rows == [0]


def test_features_that_do_not_differ_in_training_are_dropped_and_the_range_is_clipped() -> None:
    mondays = [str(np.datetime64("2024-01-01") + 7 * i) for i in range(60)]
    column = fitted(mondays)
    assert column.features == ["days", "month sine", "month cosine", "day sine", "day cosine"]
    assert column.matrix_names() == ["when days", "when year", "when month", "when day"]
    ends = column.encode(pa.array([mondays[0], "1700-01-01", mondays[-1], "2900-01-01"])).tensors["values"][:, 0]
    assert ends[0] == ends[1] < ends[2] == ends[3]
    same = fitted(["2024-01-01"] * 5)
    assert same.features == ["days"]
    assert same.encode(pa.array(["2030-01-01"])).tensors["values"].tolist() == [[0.0]]


def test_the_calendar_is_that_of_python() -> None:
    random = np.random.default_rng(0)
    times = [datetime.datetime(1900, 1, 1) + datetime.timedelta(seconds=int(s)) for s in random.integers(0, 6e9, 200)]
    column = fitted([str(t) for t in times])
    matrix = dict(zip(column.matrix_names(), column.matrix(pa.array([str(t) for t in times])).T))
    for part, wanted in (
        ("year", [t.year for t in times]),
        ("month", [t.month for t in times]),
        ("day", [t.day for t in times]),
        ("weekday", [t.weekday() for t in times]),
        ("weekend", [t.weekday() >= 5 for t in times]),
    ):
        np.testing.assert_array_equal(matrix[f"when {part}"], wanted)
    hours = [t.hour + t.minute / 60 + t.second / 3600 for t in times]
    np.testing.assert_allclose(matrix["when hour"], hours, rtol=1e-6)


def test_quick_and_careful_reading_agree() -> None:
    cells = ["2024-03-05", "2024-02-29 23:59", "1850-01-01T00:00:01"]
    column = fitted(cells)
    np.testing.assert_array_equal(column.seconds(pa.array([*cells, None]))[0][:3], column.seconds(pa.array(cells))[0])


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["2024-03-05", "2024-03-06", "2024-03-07"] * 10, "date"),
        ([f"{d:02d}.{m:02d}.2024" for m in range(1, 13) for d in range(1, 28)], "date"),
        ([str(20240101 + i) for i in range(28)], "date"),
        ([f"2024年{m}月1日" for m in range(1, 13)], "date"),
        (["12.5", "13.75", "1.25"] * 10, "number"),
        ([str(10000000 + 7919 * i) for i in range(50)], "number"),
        (["1.2.3", "4.5.6", "10.20.30"] * 10, "category"),
    ],
)
def test_columns_of_dates_are_found_and_others_are_left_alone(cells: list[str], wanted: str) -> None:
    assert guess("column", pa.array(cells), False).options["type"] == wanted


def test_dates_that_all_differ_are_dates_and_no_ids() -> None:
    cells = [str(np.datetime64("2020-01-01") + i) for i in range(300)]
    assert guess("date", pa.array(cells), False).options == {"type": "date"}
    assert guess("date", pa.array(cells), True).options["type"] != "date", "nothing produces dates"
