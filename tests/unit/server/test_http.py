"""A running server: what it takes, what it refuses and how, and that it answers 201 for durable."""

from __future__ import annotations

import gzip
import http.client
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from serving import JSON, NDJSON, Serve, Serving

import forensics
from forensics.ingest import quarantine
from forensics.lake.snapshot import take
from forensics.testing import change_record, decision_record, outcome_record, override_record

FAST = ("--batch-seconds", "0.2")


def event(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-20T12:00:00Z",
        "producer": "https://example.com/pipeline",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid.uuid4())},
        "job": {"namespace": "n", "name": "j"},
    }
    return {**whole, **changes}


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def decisions(lake: Path) -> set[str]:
    return {row["decision_id"] for row in forensics.open(lake).find()}


def test_decisions_are_in_the_lake_seconds_after_their_201(serve: Serve, lake: Path) -> None:
    serving = serve(*FAST)
    made = [decision_record() for _ in range(5)]
    answer = serving.send("/v1/decisions", lines(*made))
    assert (answer.status, answer.json) == (201, {"taken": 5})
    assert answer.headers["content-type"] == "application/json"
    serving.until("forensics_landed_records_total", 5)
    assert decisions(lake) == {record["decision_id"] for record in made}


def test_the_received_bytes_are_kept(serve: Serve, lake: Path) -> None:
    serving = serve(*FAST)
    record = decision_record(score=0.5)
    odd = json.dumps(record).replace('"score": 0.5', '"score":   5.0e-01').encode()
    assert serving.send("/v1/decisions", odd, JSON).status == 201
    serving.until("forensics_landed_records_total", 1)
    (path,) = (lake / "decisions" / "credit_line").glob("*.parquet")
    import pyarrow.parquet as pq

    assert pq.read_table(path, columns=["raw"])["raw"].to_pylist() == [odd]


@pytest.mark.parametrize("form", ["object", "pretty object", "array", "lines", "pretty array"])
@pytest.mark.parametrize("encoding", [None, "gzip", "zstd"])
def test_every_form_of_body_is_taken(server: Serving, form: str, encoding: str | None) -> None:
    record = decision_record()
    body, kind = {
        "object": (json.dumps(record).encode(), JSON),
        "pretty object": (json.dumps(record, indent=2).encode(), JSON),
        "array": (json.dumps([record]).encode(), JSON),
        "pretty array": (json.dumps([record], indent=1).encode(), JSON),
        "lines": (lines(record), NDJSON),
    }[form]
    headers = dict(kind)
    if encoding:
        headers["Content-Encoding"] = encoding
        body = gzip.compress(body) if encoding == "gzip" else zstandard.compress(body)
    answer = server.send("/v1/decisions", body, headers)
    assert (answer.status, answer.json) == (201, {"taken": 1})


def test_a_bad_record_costs_itself_and_is_named_by_its_line(serve: Serve, lake: Path) -> None:
    serving = serve(*FAST)
    good, worse = decision_record(), decision_record(occurred_at="yesterday")
    answer = serving.send("/v1/decisions", lines(good) + b"\n{broken\n" + lines(worse))
    assert answer.status == 201
    assert answer.json["taken"] == 1
    assert answer.json["rejected_total"] == 2
    assert [item["line"] for item in answer.json["rejected"]] == [3, 4]
    assert "not JSON" in answer.json["rejected"][0]["reason"]
    assert "occurred_at" in answer.json["rejected"][1]["reason"]
    serving.until("forensics_landed_quarantined_total", 2)
    # The reason that was answered is the one in quarantine, beside the bytes.
    kept = {item.raw: item.reason for item in quarantine.load(lake)}
    assert kept[b"{broken"] == answer.json["rejected"][0]["reason"]
    assert kept[lines(worse).strip()] == answer.json["rejected"][1]["reason"]


@pytest.mark.parametrize("path", ["/v1/decisions", "/api/v1/lineage"])
@pytest.mark.parametrize(
    "first",
    [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf{}", b"PAR1", b"[1,", b'{"a": {', b"[{}]"],
    ids=["gzip", "zstd", "mark", "parquet", "array", "open", "whole array"],
)  # fmt: skip
def test_no_first_line_can_harm_those_after_it(
    serve: Serve, lake: Path, path: str, first: bytes
) -> None:
    serving = serve("--batch-seconds", "3600")
    good = decision_record() if path == "/v1/decisions" else event()
    answer = serving.send(path, b" \n" + first + b"\n" + lines(good, good))
    assert (answer.status, answer.json["taken"]) == (201, 2)
    assert serving.stop() == 0
    (kept,) = quarantine.load(lake)
    assert kept.raw == first
    assert kept.reason == answer.json["rejected"][0]["reason"]
    table = "decisions/credit_line" if path == "/v1/decisions" else "lineage"
    assert take(lake).tables[table].rows == 1


def test_a_body_of_bad_records_is_400_and_in_quarantine(serve: Serve, lake: Path) -> None:
    serving = serve(*FAST)
    answer = serving.send("/v1/decisions", b'{"a": 1}', JSON)
    assert answer.status == 400
    assert answer.json.keys() >= {"what", "why", "todo", "rejected"}
    serving.until("forensics_landed_quarantined_total", 1)
    broken = b'{\n "text": "a line\nend"\n}'
    assert serving.send("/v1/decisions", broken, JSON).status == 400
    assert {item.raw for item in quarantine.load(lake)} == {b'{"a": 1}', broken}


def test_a_record_that_is_too_long_costs_itself_alone(server: Serving) -> None:
    long = decision_record(note="x" * (1 << 20))
    answer = server.send("/v1/decisions", lines(long, decision_record()))
    assert (answer.status, answer.json["taken"]) == (201, 1)
    assert "1,048,576" in answer.json["rejected"][0]["reason"]


def test_a_feature_of_another_type_than_before_is_named(server: Serving) -> None:
    point = {"decision_point": "typed"}
    first = decision_record(features={"amount": 12}, **point)
    assert server.send("/v1/decisions", lines(first)).status == 201
    answer = server.send("/v1/decisions", lines(decision_record(features={"amount": "x"}, **point)))
    assert answer.status == 400
    assert "amount" in answer.json["why"]


@pytest.mark.parametrize(
    ("path", "takes", "refuses"),
    [
        ("/v1/decisions", [decision_record], [change_record, override_record, event]),
        ("/v1/changes", [change_record], [decision_record, outcome_record, event]),
        (
            "/v1/records",
            [decision_record, change_record, override_record, outcome_record],
            [event],
        ),
    ],
)
def test_a_door_takes_its_own_kind_only(
    server: Serving,
    path: str,
    takes: list[Callable[[], dict[str, Any]]],
    refuses: list[Callable[[], dict[str, Any]]],
) -> None:
    own, foreign = [make() for make in takes], [make() for make in refuses]
    # Neither a foreign record nor a broken one of a foreign kind comes in, not even to be mended.
    broken = {**change_record(), "occurred_at": 3} if path == "/v1/decisions" else foreign[0]
    answer = server.send(path, lines(*foreign, broken, *own))
    assert (answer.status, answer.json["taken"]) == (201, len(own))
    rejected = [item["line"] for item in answer.json["rejected"]]
    assert rejected == list(range(1, len(foreign) + 2))
    assert all("kind" in item["reason"] for item in answer.json["rejected"])
    server.until("forensics_spool_files", 0)
    raws = {item.raw for item in quarantine.load(server.lake)}
    assert not raws & {lines(record).strip() for record in [*foreign, broken]}


@pytest.mark.parametrize("path", ["/api/v1/lineage", "/api/v1/lineage/batch"])
@pytest.mark.parametrize("form", ["object", "array", "lines"])
def test_lineage_events_are_taken(serve: Serve, path: str, form: str) -> None:
    serving = serve(*FAST)
    events = [event()] if form == "object" else [event() for _ in range(3)]
    body = {"object": events[0], "array": events}.get(form)
    headers = NDJSON if form == "lines" else JSON
    answer = serving.send(path, json.dumps(body).encode() if body else lines(*events), headers)
    assert (answer.status, answer.json) == (201, {"taken": len(events)})
    serving.until("forensics_landed_records_total", len(events))
    assert serving.metric("forensics_landed_quarantined_total") == 0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"producer": None}, "producer"),
        ({"eventTime": "soon"}, "eventTime"),
        ({"eventTime": "2026-11-20T12:00:00"}, "zone"),
        ({"job": {"name": "j"}}, "job.namespace"),
        ({"eventType": "DONE"}, "eventType"),
    ],
)
def test_an_event_that_is_none_is_400_with_its_path(
    server: Serving, changes: dict[str, Any], why: str
) -> None:
    answer = server.send("/api/v1/lineage", json.dumps(event(**changes)).encode(), JSON)
    assert answer.status == 400
    assert why in answer.json["why"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/", "GET", 404), ("/v1/nothing", "POST", 404), ("/v1/decisions", "GET", 405),
     ("/health", "POST", 405)],
)  # fmt: skip
def test_other_addresses_say_where_to_go(
    server: Serving, path: str, method: str, status: int
) -> None:
    answer = server.send(path, b"{}" if method == "POST" else None)
    assert answer.status == status
    assert "/v1/decisions" in answer.json["todo"]


def test_refused_types_and_bombs_have_their_status(server: Serving) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    for body, headers, status in (
        (b"a=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {**JSON, "Content-Encoding": "br"}, 415),
        (bomb, {**NDJSON, "Content-Encoding": "gzip"}, 413),
        (b"no gzip", {**NDJSON, "Content-Encoding": "gzip"}, 400),
        (b"", NDJSON, 400),
        (b"[" * 1_000_000, JSON, 400),
    ):
        answer = server.send("/v1/decisions", body, headers)
        assert answer.status == status, answer
        assert answer.json.keys() >= {"what", "why", "todo"}
    assert server.send("/v1/decisions", lines(decision_record())).status == 201


def test_a_body_beyond_the_limit_is_413_however_it_is_announced(serve: Serve) -> None:
    serving = serve("--request-mb", 1)
    padded = lines(*(decision_record(note="x" * 20_000) for _ in range(60)))
    assert len(padded) > 1 << 20
    answer = serving.send("/v1/decisions", padded)
    assert answer.status == 413
    assert "1,048,576" in answer.json["why"]
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=30)
    connection.request(
        "POST", "/v1/decisions", iter([padded[:600_000], padded[600_000:]]), NDJSON,
        encode_chunked=True,
    )  # fmt: skip
    assert connection.getresponse().status == 413
    connection.close()
    assert serving.send("/v1/decisions", lines(decision_record())).status == 201


def test_a_body_shorter_than_announced_is_never_taken(serve: Serve, lake: Path) -> None:
    serving = serve(*FAST)
    body = lines(decision_record(), decision_record())
    with serving.socket() as raw:
        raw.sendall(_head("/v1/decisions", len(body) + 5) + body)
        raw.shutdown(1)
        raw.recv(1000)
    assert serving.send("/v1/decisions", lines(decision_record())).status == 201
    serving.until("forensics_landed_records_total", 1)
    time.sleep(0.5)
    assert len(decisions(lake)) == 1


def test_contradicting_lengths_are_refused(server: Serving) -> None:
    smuggled = (
        b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        b"GET /health HTTP/1.1\r\n\r\n"
    )
    with server.socket() as raw:
        raw.sendall(smuggled)
        assert b" 400 " in raw.recv(1000).partition(b"\r\n")[0]


@pytest.mark.parametrize("what", ["nothing", "half a head", "half a body", "a drip"])
def test_a_slow_client_is_cut_off(serve: Serve, what: str) -> None:
    serving = serve("--timeout-seconds", 0.5)
    began = time.monotonic()
    with serving.socket() as raw:
        if what == "half a head":
            raw.sendall(b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\n")
        elif what == "half a body":
            raw.sendall(_head("/v1/decisions", 100) + b"{")
        answered = b""
        if what == "a drip":
            raw.sendall(_head("/v1/decisions", 10_000))
            raw.settimeout(0.05)
            while not answered and time.monotonic() - began < 20:
                try:
                    raw.sendall(b"x")
                    answered = raw.recv(1000)
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
        else:
            answered = raw.recv(1000)
        if "bod" in what or "drip" in what:
            assert b" 408 " in answered.partition(b"\r\n")[0]
        else:
            assert answered == b""
    assert time.monotonic() - began < 20
    assert serving.send("/health").status == 200


def test_a_head_without_end_is_cut_off(server: Serving) -> None:
    with server.socket() as raw:
        raw.sendall(b"POST /v1/decisions HTTP/1.1\r\n")
        try:
            for _ in range(1_000):
                raw.sendall(b"X-Filler: " + b"y" * 10_000 + b"\r\n")
        except ConnectionError:
            pass
        else:
            pytest.fail("ten megabytes of headers were taken")
    assert server.send("/health").status == 200


def test_tokens_are_asked_for_and_hold_to_their_scopes(
    serve: Serve, tokens_file: Callable[..., Path]
) -> None:
    path = tokens_file(
        pipeline=("events", ["lineage"]),
        scorer=("records", ["decisions", "changes"]),
        watcher=("numbers", ["metrics"]),
    )
    serving = serve("--tokens", path)
    assert "3 tokens" in serving.first
    made = lines(decision_record())

    def status(path: str, token: str | None, body: bytes | None = made) -> int:
        headers = {**NDJSON, "Authorization": f"Bearer {token}"} if token else NDJSON
        return serving.send(path, body, headers).status

    assert status("/v1/decisions", None) == 401
    assert status("/v1/decisions", "wrong") == 401
    assert status("/v1/decisions", "events") == 403
    assert status("/v1/records", "records") == 403
    assert status("/v1/decisions", "records") == 201
    assert status("/v1/changes", "records", lines(change_record())) == 201
    assert status("/api/v1/lineage", "records", lines(event())) == 403
    assert status("/api/v1/lineage", "events", lines(event())) == 201
    assert status("/metrics", None, None) == 401
    assert status("/metrics", "records", None) == 403
    assert status("/metrics", "numbers", None) == 200
    # Those who only look whether it lives have no token.
    assert status("/health", None, None) == 200
    assert status("/ready", None, None) == 200


def test_who_sends_too_fast_is_told_when_to_come_again(
    serve: Serve, tokens_file: Callable[..., Path]
) -> None:
    path = tokens_file(slow=("a", ["decisions"], 10), fast=("b", ["decisions"]))
    serving = serve("--tokens", path)
    many = lines(*(decision_record() for _ in range(60)))

    def send(token: str) -> Any:
        return serving.send("/v1/decisions", many, {**NDJSON, "Authorization": f"Bearer {token}"})

    assert send("a").status == 201
    answer = send("a")
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 3
    assert send("b").status == 201


def test_a_page_in_a_browser_cannot_write_without_a_token(server: Serving) -> None:
    headers = {**JSON, "Origin": "https://example.com"}
    assert server.send("/v1/decisions", lines(decision_record()), headers).status == 403


def test_more_requests_than_allowed_are_told_to_come_again(serve: Serve) -> None:
    serving = serve("--concurrency", 1)
    with serving.socket() as raw:
        raw.sendall(_head("/v1/decisions", 1_000) + b"{")
        serving.until("forensics_requests_under_way", 1)
        answer = serving.send("/v1/decisions", lines(decision_record()))
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
    deadline = time.monotonic() + 20
    while serving.send("/v1/decisions", lines(decision_record())).status != 201:
        assert time.monotonic() < deadline


def test_a_full_spool_is_not_ready_and_takes_nothing(serve: Serve, lake: Path) -> None:
    serving = serve("--spool-mb", 1)
    assert serving.send("/ready").json == {"status": "ready"}
    folder = lake / "spool" / "other"
    folder.mkdir(parents=True)
    (folder / "held.open").write_bytes(bytes(2 << 20))
    import fcntl

    with (folder / "held.open").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # of another server that is alive
        time.sleep(1.1)
        answer = serving.send("/ready")
        assert (answer.status, answer.json["what"]) == (503, "The spool is full.")
        assert serving.send("/v1/decisions", lines(decision_record())).status == 503
        assert serving.send("/health").status == 200
        (folder / "held.open").unlink()
    time.sleep(1.1)
    assert serving.send("/v1/decisions", lines(decision_record())).status == 201


def test_a_lake_that_is_gone_is_not_ready(serve: Serve, lake: Path) -> None:
    serving = serve()
    (lake / "lake.toml").rename(lake / "away.toml")
    answer = serving.send("/ready")
    assert (answer.status, answer.json["what"]) == (503, "The lake cannot be written.")


def test_metrics_are_prometheus_text(server: Serving) -> None:
    assert server.send("/v1/decisions", lines(decision_record())).status == 201
    answer = server.send("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    typed: dict[str, str] = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            typed[name] = kind
        elif not line.startswith("#"):
            name, _, value = line.replace("{", " {").partition(" ")
            base = name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
            assert name in typed or typed[base] == "histogram"
            assert float(value.rpartition(" ")[2]) >= 0
    assert typed["forensics_request_seconds"] == "histogram"
    assert server.metric("forensics_records_taken_total") >= 1


def _head(path: str, length: int) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One server for the tests that leave nothing behind which others would count."""
    from forensics.lake import layout

    lake = tmp_path_factory.mktemp("server") / "lake"
    layout.create(lake)
    serving = Serving(lake, *FAST)
    yield serving
    serving.kill()
