"""A table or a query of a database, by SQLAlchemy: read in blocks from a cursor, never as a whole.

Rows come in a fixed order, so that a row's side of the split is the same in every pass: by primary key where a table is named,
by rowid in SQLite, else by all columns. The password is masked wherever the address is shown or kept.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import quote, unquote

import pyarrow as pa

from dapeng.core.errors import DataError, LimitError, MissingExtra, Problem, need_extra
from dapeng.core.kinds import sources
from dapeng.core.secrets import MASK, VARIABLE, redacted, restored
from dapeng.core.spec import Data
from dapeng.data import files, queries
from dapeng.data.sources.base import Reader, from_base, refuse_unusable
from dapeng.data.table import Block, Source, content_hash, joined
from dapeng.data.values import array, plain_values

LOOK = 10_000
"""Rows that are read to know the types of the columns."""
FETCH = 1024
BYTES = 64 << 20
"""Bytes at which a block ends before it has its rows: of tables that hold pictures."""
KNOWN = ("sqlite", "postgresql", "postgres", "mysql", "mariadb", "oracle", "mssql")
ENDINGS = (".db", ".sqlite", ".sqlite3")
PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "cx_Oracle": "cx-Oracle",
    "mariadb": "mariadb",
}
"""What to install for a driver that isn't called like its package."""
_URL = re.compile(r"([a-z][a-z0-9]*)(\+\w+)?://", re.IGNORECASE)


@sources
class SqlOptions(Reader):
    """A table or a SELECT of a database: any URL of SQLAlchemy with ?table=NAME or ?query=SELECT ... at its end.

    sqlite:///shop.db?table=orders, or shop.db alone where it has one table; postgresql://me:word@host/shop?query=SELECT ...
    Only one SELECT is run. The password is masked in everything that is shown or kept; a run that goes on takes it from
    DAPENG_PASSWORD.

    Example: `dapeng train "sqlite:///shop.db?table=orders" --target returned`
    """

    type: Literal["sql"] = "sql"
    begins: ClassVar[tuple[bytes, ...]] = (b"SQLite format 3\0",)

    @classmethod
    def matches(cls, address: object) -> bool:
        if not isinstance(address, (str, Path)):
            return False
        return _is_url(str(address)) or ("://" not in str(address) and str(address).lower().endswith(ENDINGS))

    @classmethod
    def whole(cls, address: str, base: Path | None) -> str | None:
        if not _is_url(address):
            return None
        head, mark, rest = address.partition("?")
        scheme, _, path = head.partition(":///")
        if scheme.lower().split("+")[0] != "sqlite" or not path or path == ":memory:":
            return address
        return f"{scheme}:///{from_base(path, base).absolute()}{mark}{rest}"

    def open(self, address: object, data: Data) -> Source:
        text = str(address)
        return SqlSource(_parsed(text if _is_url(text) else f"sqlite:///{text}"), data)


def _is_url(address: str) -> bool:
    found = _URL.match(address)
    if found is None:
        return False
    if found[1].lower() in KNOWN:
        return True
    dialects = {e.name.split(".")[0] for e in metadata.entry_points(group="sqlalchemy.dialects")}
    return found[1].lower() in dialects


@dataclass(frozen=True)
class Asked:
    """An address in its parts: the database's URL with its password, and the table or the query. name: without password."""

    url: str
    table: str | None
    query: str | None
    name: str


def _parsed(address: str) -> Asked:
    """The parts of an address. What stands after query= is SQL up to the end; other parameters go to the driver."""
    url, _, rest = address.partition("?")
    before, found, query = (
        re.compile(r"(?:^|&)(query=)").split(rest, maxsplit=1) if "query=" in rest else (rest, "", "")
    )
    fields = [f.partition("=") for f in before.split("&") if f]
    table = next((unquote(v) for k, _, v in fields if k == "table"), None)
    others = "&".join(f"{k}={v}" for k, _, v in fields if k != "table")
    whole = restored(url + ("?" + others if others else ""))
    if whole is None:
        what = f"the password is not kept ({MASK} stands for it)"
        raise DataError(Problem(address, what, f"set the environment variable {VARIABLE}"))
    shown = redacted(url)
    name = Path(url.partition(":///")[2]).name if url.lower().startswith("sqlite") else shown
    name += f" table {table}" if table else " query" if found else ""
    return Asked(re.sub(r"^postgres(?=[:+])", "postgresql", whole), table, unquote(query) if found else None, name)


class SqlSource(Source):
    """The rows of a table or a query."""

    parsed = True

    def __init__(self, asked: Asked, data: Data):
        super().__init__()
        self.asked, self.data, self.name, self._hash = asked, data, asked.name, ""
        if asked.table and asked.query:
            raise DataError(Problem(self.name, "a table and a query are named", "name one of them"))
        self.database = _Database(asked, self.name)
        self.size = self.database.size
        self.statement, self.table = asked.query, asked.table
        if asked.query is not None:
            queries.refuse_writing(asked.query, self.name)
            if not queries.is_ordered(asked.query):
                self.note(
                    "warning", self.name, "the query has no ORDER BY: where rows change places, so does the split"
                )
        else:
            self.table = self.database.find(asked.table)
            self.name = self.name if asked.table else f"{self.name} table {self.table}"
            if self.database.sorted_by_all(self.table):
                self.note("info", self.name, "there is no primary key: its rows are sorted by all columns")
        self.types = self._look()
        self.names = list(self.types)
        refuse_unusable(self.name, self.names, None, data)

    def _look(self) -> dict[str, pa.DataType]:
        """Names and types of the columns, by the first rows. One that is empty there is taken for text."""
        parts: list[list[Any]] = []
        with self.database.rows(self.statement, self.table, None) as (names, fetched):
            refuse_unusable(self.name, names, None, self.data)
            for rows in fetched:
                parts += rows
                if len(parts) >= LOOK:
                    break
        if not parts:
            raise DataError(Problem(self.name, "no rows", "look at the table, or at what the query asks for"))
        kinds = {n: array(plain_values(c)).type for n, c in zip(names, zip(*parts))}
        return {n: pa.string() if pa.types.is_null(k) else k for n, k in kinds.items()}

    def blocks(self, names: list[str] | None = None, rows: int = 65_536) -> Iterator[Block]:
        chosen = self.names if names is None else list(names)
        start, size, parts = 0, 0, []
        with self.database.rows(self.statement, self.table, chosen) as (found, fetched):
            for some in fetched:
                columns = dict(zip(found, zip(*some)))
                parts.append(self._table({n: columns[n] for n in chosen}, len(some), start + sum(map(len, parts))))
                size += parts[-1].nbytes
                if sum(map(len, parts)) + FETCH > rows or size > BYTES:
                    yield from self._cut(start, parts, rows)
                    start, size, parts = start + sum(map(len, parts)), 0, []
        if parts:
            yield from self._cut(start, parts, rows)
            start += sum(map(len, parts))
        self.rows = start

    def _cut(self, start: int, parts: list[pa.Table], rows: int) -> Iterator[Block]:
        whole = joined(parts)
        refuse_unusable(self.name, self.names, start + len(whole), self.data)
        for at in range(0, len(whole), rows):
            yield Block(start + at, whole.slice(at, rows))

    def _table(self, columns: dict[str, Any], count: int, start: int) -> pa.Table:
        limit = self.data.limits.field_bytes
        for name, values in columns.items():
            long = next((i for i, v in enumerate(values) if isinstance(v, str) and len(v) > limit), None)
            if long is not None:
                what = f"a cell of column {name!r} has {len(values[long]):,} characters, more than {limit:,}"
                raise LimitError(Problem(self.where(start + long), what, "raise data.limits.field_bytes"))
        if not columns:
            return pa.table({"": pa.nulls(count)}).select([])
        return pa.table({n: array(plain_values(v), self.types[n]) for n, v in columns.items()})

    def count(self) -> int:
        if self.rows is None and self.table:
            self.rows = self.database.count(self.table)
        return super().count()

    def fingerprint(self) -> str:
        """Of the rows themselves, one more pass: a database's file changes where nothing did, and a server has none."""
        self._hash = self._hash or content_hash(self)
        return self._hash


class _Database:
    """A connection whenever one is needed; read-only, closed after each pass."""

    def __init__(self, asked: Asked, name: str):
        try:
            import sqlalchemy
        except ImportError:
            raise need_extra("sql", "sqlalchemy") from None
        self.sa, self.name, self.size = sqlalchemy, name, 0
        try:
            url = sqlalchemy.make_url(asked.url)
        except Exception:
            what = "is not an address that SQLAlchemy reads"
            raise DataError(
                Problem(redacted(asked.url), what, "as in postgresql://me:word@host/shop?table=orders")
            ) from None
        self.password = str(url.password or "")
        self.lite = url.get_backend_name() == "sqlite"
        self.engine = self._engine(url)

    def _engine(self, url: Any) -> Any:
        options: dict[str, Any] = {"poolclass": self.sa.pool.NullPool, "hide_parameters": True}
        if self.lite:
            path = _database_file(url.database)
            self.size = path.stat().st_size
            options["creator"] = lambda: _read_only(path)
        try:
            return self.sa.create_engine(url, **options)
        except ModuleNotFoundError as error:
            driver = str(error.name)
            hint = f"pip install {PACKAGES.get(driver, driver)!r}"
            raise MissingExtra(f"the driver {driver!r} of {url.drivername}:// is not installed", hint=hint) from None
        except self.sa.exc.NoSuchModuleError:
            raise DataError(
                Problem(self.name, f"SQLAlchemy knows no {url.drivername}://", "look at its list")
            ) from None
        except (self.sa.exc.ArgumentError, TypeError, ValueError) as error:
            raise self._said(error) from None

    def _said(self, error: Exception) -> DataError:
        """A database's error in its first line, without the password, wherever it may stand."""
        text = str(getattr(error, "orig", None) or error).strip().splitlines()[0][:300]
        for word in {self.password, quote(self.password, safe="")} - {""}:
            text = text.replace(word, MASK)
        return DataError(
            Problem(self.name, f"the database says: {text}", "check the address, the query and your rights")
        )

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        try:
            with self.engine.connect() as connection:
                if self.engine.dialect.name == "postgresql":
                    connection = connection.execution_options(postgresql_readonly=True)
                elif self.engine.dialect.name in ("mysql", "mariadb"):
                    connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
                    connection.rollback()
                yield connection
        except (self.sa.exc.SQLAlchemyError, OSError) as error:
            raise self._said(error) from None

    def find(self, wanted: str | None) -> str:
        """The table that is meant. Raises DataError with those that there are."""
        with self.connected() as connection:
            look = self.sa.inspect(connection)
            schema, table = _in_schema(wanted) if wanted else (None, "")
            known = [*look.get_table_names(schema), *look.get_view_names(schema)]
        if wanted is None and len(known) == 1:
            return known[0]
        if wanted is None or table not in known:
            listed = ", ".join(known[:20]) or "none"
            close = get_close_matches(table, known, n=1)
            hint = f"did you mean ?table={close[0]}" if close else f"add ?table=NAME; there are {listed}"
            raise DataError(Problem(self.name, f"no table {wanted!r}" if wanted else "which table?", hint))
        return wanted

    def sorted_by_all(self, table: str) -> bool:
        return len(self._order(table)) > 0 and not self._key(table) and not self._has_rowid(table)

    def _key(self, table: str) -> list[str]:
        schema, name = _in_schema(table)
        with self.connected() as connection:
            return self.sa.inspect(connection).get_pk_constraint(name, schema)["constrained_columns"]

    def _has_rowid(self, table: str) -> bool:
        with self.connected() as connection:
            return self.lite and table not in self.sa.inspect(connection).get_view_names()

    def _columns(self, table: str) -> list[Any]:
        schema, name = _in_schema(table)
        with self.connected() as connection:
            return self.sa.inspect(connection).get_columns(name, schema)

    def _order(self, table: str) -> list[Any]:
        """What rows are sorted by; values that no database can sort are left out."""
        key = self._key(table)
        if key:
            return [self.sa.column(n) for n in key]
        if self._has_rowid(table):
            return [self.sa.literal_column("_rowid_")]
        unsorted = (self.sa.LargeBinary, self.sa.JSON)
        return [self.sa.column(c["name"]) for c in self._columns(table) if not isinstance(c["type"], unsorted)]

    def count(self, table: str) -> int:
        schema, name = _in_schema(table)
        with self.connected() as connection:
            every = self.sa.select(self.sa.func.count()).select_from(self.sa.table(name, schema=schema))
            return int(connection.execute(every).scalar_one())

    @contextlib.contextmanager
    def rows(
        self, query: str | None, table: str | None, names: list[str] | None
    ) -> Iterator[tuple[list[str], Iterator[list[Any]]]]:
        """Names, and rows as they come from a cursor of the server, some at a time."""
        with self.connected() as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=FETCH)
            if query is not None:
                result = streamed.execution_options(no_parameters=True).exec_driver_sql(query.rstrip("; \t\r\n"))
            else:
                result = streamed.execute(self._select(str(table), names))
            try:
                yield list(result.keys()), self._fetched(result)
            finally:
                result.close()

    def _select(self, table: str, names: list[str] | None) -> Any:
        schema, name = _in_schema(table)
        if names is None:
            names = [c["name"] for c in self._columns(table)]
        # columns without a type: what the driver gives is taken as it is
        columns = [self.sa.column(n) for n in names] or [self.sa.literal(1)]
        return self.sa.select(*columns).select_from(self.sa.table(name, schema=schema)).order_by(*self._order(table))

    def _fetched(self, result: Any) -> Iterator[list[Any]]:
        try:
            while rows := result.fetchmany(FETCH):
                yield rows
        except (self.sa.exc.SQLAlchemyError, OSError) as error:
            raise self._said(error) from None


def _in_schema(table: str) -> tuple[str | None, str]:
    schema, _, name = table.rpartition(".")
    return schema or None, name


def _database_file(path: str | None) -> Path:
    if not path or path == ":memory:":
        raise DataError("a database in memory has no rows yet", hint="sqlite:///FILE?table=NAME")
    file = Path(path)
    if not file.is_file():
        raise files.missing(file)
    with file.open("rb") as stream:
        head = stream.read(4096)
    if not head.startswith(SqlOptions.begins):
        files.refuse_other_kinds(file, head)
        raise DataError(Problem(file.name, "is not an SQLite database", "name the file that is one"))
    return file


def _read_only(path: Path) -> Any:
    """A connection that can't write, and makes no file; text that isn't UTF-8 is shown as such, not an error."""
    import sqlite3

    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, check_same_thread=False)
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return connection
