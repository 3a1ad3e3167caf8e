"""Files elsewhere: fetched once by version, read by their ending; strangers' specs reach nothing of the own network."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dapeng
from dapeng.core.errors import DapengError, DataError, LimitError, MissingExtra
from dapeng.core.spec import Data
from dapeng.data import hosts
from dapeng.data.open import open_data
from dapeng.data.table import Source

fsspec = pytest.importorskip("fsspec", reason="the extra remote is not installed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAPENG_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DAPENG_SCHEMES", raising=False)
    monkeypatch.delenv("DAPENG_HOSTS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def bucket() -> Iterator[object]:
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/a.csv", b"x,y\n1,2\n")
    system.pipe("/bucket/b.csv", b"x,y\n3,4\n")
    yield system
    system.rm("/bucket", recursive=True)


class Server(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; /moved redirects, /short breaks off, /tagged has an ETag; counts what it was asked."""

    asked: list[str] = []
    tag = '"1"'

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/moved.csv":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data")
            self.end_headers()
        elif self.path == "/short.csv":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x,y\n1,2\n")
        elif self.path == "/tagged.csv":
            self.send_response(200)
            self.send_header("ETag", self.tag)
            self.end_headers()
            self.wfile.write(f"x,y\n{self.tag},2\n".encode())
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "www" / "t.parquet")
    monkeypatch.setattr(Server, "asked", [])
    handler = functools.partial(Server, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_SCHEMES", "http,https,ftp")
    monkeypatch.setenv("DAPENG_HOSTS", "127.0.0.1")


def source(address: str, **options: object) -> Source:
    return open_data(Data(path=address, **options)).whole()


def test_a_file_of_a_bucket_is_read_by_its_ending(bucket) -> None:
    found = source("memory://bucket/a.csv")
    assert found.read().to_pylist() == [{"x": "1", "y": "2"}]
    assert found.where(0) == "a.csv:2"


def test_a_pattern_reads_all_files_and_parts_are_named_apart(bucket) -> None:
    assert source("memory://bucket/*.csv").read().num_rows == 2
    parts = open_data(Data(train="memory://bucket/a.csv", test="memory://bucket/b.csv")).parts
    assert {p: s.read().column("x").to_pylist() for p, s in parts.items()} == {"train": ["1"], "test": ["3"]}


def test_a_file_is_fetched_once_and_again_when_it_changes(bucket, capfd: pytest.CaptureFixture[str]) -> None:
    source("memory://bucket/a.csv")
    assert "fetching memory:///bucket/a.csv" in capfd.readouterr().err
    before = source("memory://bucket/a.csv").fingerprint()
    assert "fetching" not in capfd.readouterr().err
    bucket.pipe("/bucket/a.csv", b"x,y\n9,2\n")
    after = source("memory://bucket/a.csv")
    assert "fetching" in capfd.readouterr().err
    assert after.read().column("x").to_pylist() == ["9"]
    assert after.fingerprint() != before


def test_a_sheet_of_a_workbook_is_named_as_at_home(bucket, tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl writes the workbook")
    book = openpyxl.Workbook()
    book.create_sheet("Two").append(["a"])
    book["Two"].append([5])
    book.save(tmp_path / "t.xlsx")
    bucket.pipe("/bucket/t.xlsx", (tmp_path / "t.xlsx").read_bytes())
    assert source("memory://bucket/t.xlsx#Two").read().to_pylist() == [{"a": 5}]


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("memory://bucket/aa.csv", "no such file(.|\n)*did you mean 'a.csv'"),
        ("memory://bucket/*.parquet", "no file fits the pattern"),
        ("memory://bucket", "is a folder"),
        ("file:///etc/passwd", "no file:// address(.|\n)*write the path itself"),
        ("local:///etc/passwd", "no local:// address"),
        ("s4://bucket/x.csv", "no s4:// address"),
        ("http://example.org/x.csv", "unless your environment allows it(.|\n)*DAPENG_SCHEMES=http"),
        ("HTTPS://example.org/x.csv", "unless your environment allows it"),
        ("ftp://example.org/x.csv", "unless your environment allows it"),
        ("github://a:b@main/x.csv", "unless your environment allows it"),
        ("simplecache::s3://bucket/x.csv", "no such file|chain"),
        ("memory://bucket/x.zip::http://169.254.169.254/", "is a chain of addresses"),
    ],
)
def test_what_is_not_there_or_not_allowed_is_refused_with_a_next_step(bucket, address: str, what: str) -> None:
    with pytest.raises(DapengError, match=what) as caught:
        source(address)
    assert caught.value.problems[0].hint


def test_a_missing_package_is_named() -> None:
    try:
        import s3fs  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(MissingExtra, match=r"s3fs(.|\n)*pip install s3fs"):
            source("s3://bucket/x.csv")
    else:
        pytest.skip("s3fs is installed")


def test_a_file_over_http_is_fetched_once_by_its_version(
    server: str, allowed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source(f"{server}/tagged.csv").read().column("x").to_pylist() == ['"1"'.strip('"')]
    monkeypatch.setattr(Server, "tag", '"2"')
    assert source(f"{server}/tagged.csv").read().column("x").to_pylist() == ["2"]
    assert source(f"{server}/t.parquet").read().to_pylist() == [{"x": 1}, {"x": 2}]
    assert source(f"{server}/t.parquet").fingerprint() == source(f"{server}/t.parquet").fingerprint()


def test_a_redirect_is_not_followed(server: str, allowed: None) -> None:
    with pytest.raises(DataError, match=r"redirects to http://169.254.169.254/latest/meta-data, which is not followed"):
        source(f"{server}/moved.csv")
    assert Server.asked == ["/moved.csv"]


def test_a_body_that_breaks_off_and_a_missing_page_are_errors(server: str, allowed: None, cache: Path) -> None:
    with pytest.raises(DataError, match=r"broke off|can't be fetched"):
        source(f"{server}/short.csv")
    with pytest.raises(DataError, match="the server says 404"):
        source(f"{server}/nothing.csv")
    assert not list((cache / "prepared").glob("*")), "nothing half is kept"


def test_a_file_larger_than_the_cache_is_refused(server: str, allowed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_CACHE_SIZE", "0.0000001")
    with pytest.raises(LimitError, match=r"that the cache may(.|\n)*DAPENG_CACHE_SIZE"):
        source(f"{server}/t.parquet")


PRIVATE = [
    "127.0.0.1",
    "localhost",
    "169.254.169.254",
    "10.0.0.1",
    "192.168.1.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
]
PRIVATE += ["[fd00::1]", "100.64.0.1", "2130706433", "0x7f.1"]


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_private_hosts_are_refused_in_every_spelling(scheme: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAPENG_SCHEMES", "http,https,ftp")
    with pytest.raises(DataError, match="an address within your own network"):
        source(f"{scheme}://{host}/x.csv")


def test_a_name_is_resolved_once_and_the_connection_goes_to_that_address(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second answer of the name server can't lead elsewhere (DNS rebinding)."""
    asked: list[str] = []
    port = int(server.rpartition(":")[2])

    def lookup(host: str, *args: object, **options: object):
        asked.append(host)
        return real("127.0.0.1", *args, **options)

    real = hosts.socket.getaddrinfo
    monkeypatch.setattr(hosts.socket, "getaddrinfo", lookup)
    monkeypatch.setenv("DAPENG_SCHEMES", "http")
    monkeypatch.setenv("DAPENG_HOSTS", "files.example")
    assert source(f"http://files.example:{port}/t.parquet").count() == 2
    assert asked[0] == "files.example"
    assert set(asked[1:]) <= {"127.0.0.1"}
    with pytest.raises(DataError, match=r"'other.example' is 127.0.0.1"):
        source(f"http://other.example:{port}/t.parquet")


def test_addresses_that_are_none_are_refused(allowed: None) -> None:
    for address in ("http://[", "http://host:port/x.csv", "http:///x.csv", "http://a b/x.csv"):
        with pytest.raises(DataError):
            source(address)


def test_a_password_is_sent_and_never_shown(server: str, allowed: None, capfd: pytest.CaptureFixture[str]) -> None:
    assert source(server.replace("//", "//me:s3cret@") + "/t.parquet").count() == 2
    with pytest.raises(DataError) as caught:
        source(server.replace("//", "//me:s3cret@") + "/nothing.csv")
    said = capfd.readouterr()
    assert "s3cret" not in said.out + said.err + str(caught.value)


def test_a_run_is_trained_from_a_bucket_and_judged_anew(bucket, tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i},{'ab'[i % 7 > 3]}\n" for i in range(200))
    bucket.pipe("/bucket/c.csv", f"x,z,y\n{rows}".encode())
    overrides = ["train.epochs=1", "model=linear", "evaluate.resamples=10"]
    run = dapeng.train("memory://bucket/c.csv", outputs="y", overrides=overrides, runs=tmp_path / "runs")
    assert run.evaluate("memory://bucket/c.csv")
    assert "memory://bucket/c.csv" in (run.path / "spec.yaml").read_text()
