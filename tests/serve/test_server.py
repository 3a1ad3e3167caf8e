"""The server, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import errno
import http.client
import io
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from server import Server, serving

from dapeng.data.table import Frame
from dapeng.serve.http import Refused, Request
from dapeng.serve.serve import MAX_BODY
from trained import blend_run, digits_run, iris_run, reviews_run

GOOD = {"sepal length": 5.1, "sepal width": 3.5, "petal.length": 1.4, "petal.width": 0.2, "wide": "yes"}


@pytest.fixture(scope="module")
def server():
    with serving(iris_run()[0].path, reviews_run()[0].path, digits_run()[0].path, blend_run()[0].path) as running:
        yield running


def test_answers_equal_those_of_the_product_alone_and_in_a_batch(server: Server):
    for folder, product, table in (iris_run(), reviews_run(), blend_run()):
        rows = [{n: r[n] for n in product.inputs} for r in table.slice(0, 40).to_pylist()]
        wanted = product.predict(Frame(table.slice(0, 40))).tensors
        status, reply = server.ask(f"/predict?model={folder.name}", {"rows": rows})
        assert status == 200
        for output, tensors in wanted.items():
            found = [
                list(p[output].get("probabilities", {0: p[output]["value"]}).values()) for p in reply["predictions"]
            ]
            tensor = next(iter(tensors.values())).reshape(len(rows), -1)
            np.testing.assert_allclose(found, tensor, atol=1e-5)
            alone = server.ask(f"/predict?model={folder.name}", rows[3])[1]["predictions"][0][output]
            assert list(alone.get("probabilities", {0: alone["value"]}).values()) == pytest.approx(found[3], abs=1e-5)


def test_pictures_come_as_base64_or_as_files(server: Server):
    folder, product, table = digits_run()
    data = table.column("image")[0].as_py()
    wanted = product.predict(Frame(table.slice(0, 1))).tensors["label"]["probabilities"][0]
    where = f"/predict?model={folder.name}"
    status, reply = server.ask(where, {"image": base64.b64encode(data).decode()})
    assert status == 200
    assert list(reply["predictions"][0]["label"]["probabilities"].values()) == pytest.approx(wanted.tolist(), abs=1e-5)
    form = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + data + b"\r\n--x--\r\n"
    assert (
        server.ask(where, form, content_type="multipart/form-data; boundary=x")[1]["predictions"]
        == reply["predictions"]
    )
    for bad in ("/etc/passwd", "AAAA", base64.b64encode(b"not a picture").decode(), 3):
        assert server.ask(where, {"image": bad})[0] == 400


def test_csv_in_and_out(server: Server):
    body = "sepal length,sepal width,petal.length,petal.width,wide\n5.1,3.5,1.4,0.2,yes\n6.0,3.0,5.0,,no\n"
    status, text = server.ask("/predict", body.encode(), content_type="text/csv", accept="text/csv")
    assert status == 200
    assert text.splitlines()[0] == "species,species.setosa,species.versicolor,species.virginica"
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[1,",
        b"null",
        b"3",
        b'"x"',
        b"{}",
        b"[]",
        b'{"rows": []}',
        b'{"rows": 3}',
        b'{"rows": [3]}',
        b'{"rows": [{}], "x": 1}',
        b"\xff\xfe",
        b'{"rows": [[1,2]]}',
    ],
)
def test_h01_malformed_bodies_are_400(server: Server, body: bytes):
    status, reply = server.ask("/predict", body)
    assert status == 400
    assert reply["error"]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("petal.width", "wide", "'wide'"),
        ("petal.width", True, "True"),
        ("petal.width", [1], "a list"),
        ("petal.width", {"a": 1}, "an object"),
        ("petal.width", "inf", "'inf'"),
        ("petal.width", 1e300, "1e+300"),
        ("wide", [1], "a list"),
        ("wide", {"a": 1}, "an object"),
        ("strange", 1, "an unknown column"),
    ],
)
def test_h02_a_wrong_value_is_named(server: Server, name: str, value: Any, found: str):
    status, reply = server.ask("/predict", {**GOOD, name: value})
    assert status == 400
    (problem,) = reply["problems"]
    assert (problem["where"], problem["found"]) == (f"row.{name}", found)


def test_h02_bad_requests_cost_good_ones_nothing(server: Server):
    bodies = [GOOD if i % 3 else {**GOOD, "petal.width": "x"} for i in range(300)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda b: server.ask("/predict", b)[0], bodies))
    assert statuses == [200 if i % 3 else 400 for i in range(300)]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_h03_numbers_that_are_not_finite_are_400(server: Server, number: str):
    body = json.dumps(GOOD).replace("0.2", number).encode()
    assert server.ask("/predict", body)[0] == 400


def test_h04_depth_without_end_is_400(server: Server):
    for body in (b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000):
        assert server.ask("/predict", body)[0] == 400


def test_h05_a_large_body_is_refused_by_its_header_and_costs_no_memory(server: Server):
    before = server.rss()
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("POST", "/predict")
    connection.putheader("content-length", str(150 << 20))
    connection.endheaders()
    assert connection.getresponse().status == 413
    assert time.monotonic() - began < 0.1
    connection.close()
    assert server.rss() - before < 1 << 20
    assert server.ask("/predict", GOOD)[0] == 200


def flood(server: Server, size: int) -> tuple[bytes, float]:
    """Send a body in chunks, whatever the server says meanwhile: its status, and the seconds from the cap to its first byte."""
    answered: list[tuple[bytes, float]] = []
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.settimeout(30)
        listener = threading.Thread(target=lambda: answered.append((raw.recv(1000).split()[1], time.monotonic())))
        raw.sendall(b"POST /predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        listener.start()
        over = 0.0
        for sent in range(0x10000, size + 1, 0x10000):
            raw.sendall(chunk)
            if not over and sent > MAX_BODY:
                over = time.monotonic()
        listener.join()
    return answered[0][0], answered[0][1] - over


@pytest.mark.parametrize("senders", [1, 6])
def test_h05_a_body_without_a_length_is_refused_at_the_cap_and_costs_no_memory(server: Server, senders: int):
    before = server.rss()
    server.watch()
    with concurrent.futures.ThreadPoolExecutor(senders) as pool:
        found = list(pool.map(lambda _: flood(server, 150 << 20), range(senders)))
    grown = server.rss("VmHWM") - before
    assert {status for status, _ in found} == {b"413"}
    assert grown < 8 << 20, f"{grown / 2**20:.1f} MiB more at the highest"
    late = sorted(1000 * seconds for _, seconds in found)
    busy = sys.platform != "win32" and os.getloadavg()[0] > (os.cpu_count() or 1)  # then others have the processor
    assert late[0] < (2_000 if busy else 100), f"answered {late} ms after the cap"
    assert server.ask("/predict", GOOD)[0] == 200


def test_h05_a_body_below_the_cap_is_read_whole_though_it_comes_in_pieces(server: Server):
    rows = json.dumps({"rows": [GOOD] * 9_000}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    pieces = [rows[i : i + 50_000] for i in range(0, len(rows), 50_000)]
    connection.request("POST", "/predict", iter(pieces), {"content-type": "application/json"}, encode_chunked=True)
    reply = connection.getresponse()
    assert reply.status == 200
    assert len(json.loads(reply.read())["predictions"]) == 9_000
    connection.close()


def test_h05_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch):
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x", "more_body": True}

    monkeypatch.setattr("dapeng.serve.http.SpooledTemporaryFile", lambda _: Full())
    request = Request({"method": "POST", "path": "/", "query_string": b"", "headers": []}, receive)
    with pytest.raises(Refused, match="there is no room") as found:
        asyncio.run(request.body(100))
    assert found.value.status == 503


def test_h08_a_client_that_left_is_dropped_and_counted():
    with serving(iris_run()[0].path, slow=0.4) as slow:
        body = json.dumps(GOOD).encode()
        head = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            first = pool.submit(slow.ask, "/predict", GOOD)
            time.sleep(0.15)  # the first is in the model; the next ones wait, and leave
            for _ in range(3):
                raw = socket.create_connection(("127.0.0.1", slow.port))
                raw.sendall(head + body)
                time.sleep(0.02)
                raw.close()
            assert first.result()[0] == 200
        rows = slow.metric("dapeng_rows_total")
        assert slow.metric("dapeng_cancelled_total") == 3
        time.sleep(0.6)
        assert slow.metric("dapeng_rows_total") == rows == 1


@pytest.mark.parametrize(
    "path",
    [
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%252e%252e/etc/passwd",
        "/a%00b",
        "/..\\..\\etc",
        "/v2/models/../../etc",
        "/page.css",
        "//etc/passwd",
    ],
)
def test_h09_paths_lead_nowhere(server: Server, path: str):
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
        reply = b""
        while piece := raw.recv(4096):
            reply += piece
    assert reply.split()[1] in (b"404", b"400")
    assert b"root:" not in reply


def test_h10_other_hosts_and_other_sites_are_refused(server: Server):
    here = f"127.0.0.1:{server.port}"
    assert server.ask("/", host="evil.example")[0] == 403
    assert server.ask("/predict", GOOD, host=f"evil.example:{server.port}")[0] == 403
    assert server.ask("/predict", GOOD, host=f"127.0.0.1.evil.example:{server.port}")[0] == 403
    assert server.ask("/predict", GOOD, host=f"localhost:{server.port}")[0] == 200
    assert server.ask("/predict", GOOD, host=f"[::1]:{server.port}")[0] == 200
    assert server.ask("/predict", GOOD, origin="http://evil.example")[0] == 403
    assert server.ask("/predict", GOOD, origin="null")[0] == 403
    assert server.ask("/predict", GOOD, sec_fetch_site="cross-site")[0] == 403
    assert server.ask("/predict", GOOD, origin=f"http://{here}")[0] == 200


def test_a_host_can_be_allowed_and_a_batch_forbidden():
    with serving(iris_run()[0].path, options=("--allow-host", "models.example", "--no-batching")) as other:
        assert other.ask("/predict", GOOD, host="models.example")[0] == 200


def test_unseen_labels_are_said(server: Server):
    _, reply = server.ask("/predict", {**GOOD, "wide": "perhaps"})
    assert reply["notes"] == ["wide: label 'perhaps' was not seen in training; it is read as unknown"]


def test_methods_types_and_models_that_there_are_not(server: Server):
    assert server.ask("/predict")[0] == 405
    assert server.ask("/predict", b"x", content_type="image/png")[0] == 415
    assert server.ask("/predict?model=other", GOOD)[0] == 404
    assert server.ask("/predict", {"rows": [GOOD] * 10_001})[0] == 413


def test_open_inference_protocol(server: Server):
    name = iris_run()[0].name
    assert (
        server.ask("/v2/health/live")[0]
        == server.ask("/v2/health/ready")[0]
        == server.ask(f"/v2/models/{name}/ready")[0]
        == 200
    )
    about = server.ask(f"/v2/models/{name}")[1]
    assert {"name": "wide", "datatype": "BYTES", "shape": [-1]} in about["inputs"]
    inputs = [
        {"name": n, "shape": [2], "datatype": "BYTES" if n == "wide" else "FP32", "data": [v, v]}
        for n, v in GOOD.items()
    ]
    status, reply = server.ask(f"/v2/models/{name}/infer", {"id": "7", "inputs": inputs})
    assert (status, reply["id"], reply["outputs"][0]["shape"]) == (200, "7", [2])
    alone = server.ask("/predict", GOOD)[1]["predictions"][0]["species"]
    assert reply["outputs"][0]["data"] == [alone["value"]] * 2
    assert reply["outputs"][1]["data"][:3] == pytest.approx(list(alone["probabilities"].values()), abs=1e-5)


def test_open_inference_protocol_in_binary(server: Server):
    parts, inputs = [], []
    for name, value in GOOD.items():
        data = (
            (len(value).to_bytes(4, "little") + value.encode())
            if isinstance(value, str)
            else np.float32(value).tobytes()
        )
        kind = "BYTES" if isinstance(value, str) else "FP32"
        inputs.append({"name": name, "shape": [1, 1], "datatype": kind, "parameters": {"binary_data_size": len(data)}})
        parts.append(data)
    head = json.dumps({"inputs": inputs}).encode()
    where = f"/v2/models/{iris_run()[0].name}/infer"
    assert server.ask(where, head + b"".join(parts), inference_header_content_length=str(len(head)))[0] == 200
    assert server.ask(where, head + parts[0][:2], inference_header_content_length=str(len(head)))[0] == 400


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-1]},
        {"shape": [3]},
        {"shape": [1, 2]},
        {"shape": "x"},
        {"datatype": "FP31"},
        {"data": 3},
        {"data": [[[1]]]},
        {"name": 3},
        {"parameters": 3},
    ],
)
def test_h02_wrong_tensors_are_400(server: Server, change: dict[str, Any]):
    inputs = [
        {"name": n, "shape": [1], "datatype": "BYTES" if n == "wide" else "FP32", "data": [v]} for n, v in GOOD.items()
    ]
    inputs[0] |= change
    status, _ = server.ask(f"/v2/models/{iris_run()[0].name}/infer", {"inputs": inputs})
    assert status == (200 if change == {"parameters": 3} else 400)


def test_openapi_describes_the_columns(server: Server):
    _, about = server.ask("/openapi.json")
    row = about["components"]["schemas"]["Row0"]
    assert row["required"] == list(GOOD)
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(GOOD, row)
    jsonschema.validate(
        server.ask("/predict", GOOD)[1]["predictions"][0], about["components"]["schemas"]["Prediction0"]
    )


def test_metrics_count(server: Server):
    before = server.metric("dapeng_request_seconds_count")
    server.ask("/predict", GOOD)
    assert server.metric("dapeng_request_seconds_count") >= before + 1
    assert server.metric("dapeng_rejected_total") > 0


def test_the_page_is_strict_and_speaks_the_browsers_language(server: Server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/", headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
    reply = connection.getresponse()
    text = reply.read().decode()
    policy = reply.getheader("content-security-policy") or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert 'lang="zh-CN"' in text
    assert "预测" in text
    assert "http://" not in text.split("<details>")[0]
    assert 'lang="en"' in server.ask("/", accept_language="en-GB")[1]


def test_stopping_finishes_what_was_accepted():
    with serving(iris_run()[0].path, slow=0.5) as slow, concurrent.futures.ThreadPoolExecutor(4) as pool:
        accepted = [pool.submit(slow.ask, "/predict", GOOD) for _ in range(3)]
        time.sleep(0.2)
        slow.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        status, reply = slow.ask("/predict", GOOD)
        assert (status, reply["error"]) == (503, "the server is stopping")
        assert slow.ask("/health/ready")[0] == 503
        assert [a.result()[0] for a in accepted] == [200, 200, 200]
        assert slow.process.wait(15) == 0


def test_several_workers_answer_and_stop_together():
    with serving(iris_run()[0].path, options=("--workers", "2")) as several:
        for _ in range(100):
            try:
                assert several.ask("/predict", GOOD)[0] == 200
                break
            except OSError:
                time.sleep(0.1)
        several.process.send_signal(signal.SIGTERM)
        assert several.process.wait(20) == 0
