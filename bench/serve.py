"""The HTTP door: events and decisions a second that are durable when they are answered, and p99.

Beside it, in the same run and in turns, a bare Starlette application on the same server with the
same settings only reads each body and answers 201: what the door's checks and its disk cost. Then
the server is killed in the midst of it, and everything that it had answered must be in the lake.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _measure
import _records
import duckdb
from _measure import FORENSICS, PYTHON

CLIENTS = 8
BATCH = 500
GOAL_EVENTS, GOAL_DECISIONS = 2_000, 30_000
_TICKS = os.sysconf("SC_CLK_TCK")
_LOAD = str(Path(__file__).with_name("_load.py"))
_BARE = """
import socket, uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

async def take(request):
    await request.body()
    return Response("{}", 201, media_type="application/json")

listener = socket.create_server(("127.0.0.1", 0))
print(f"Listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
paths = ("/api/v1/lineage", "/v1/decisions")
app = Starlette(routes=[Route(path, take, methods=["POST"]) for path in paths])
config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
uvicorn.Server(config).run(sockets=[listener])
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients sent and how long each request took, and what the server took for it."""

    requests: int
    wall_s: float
    latencies: list[float]
    server_cpu_s: float
    landing_cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=24_000)
    parser.add_argument("--decisions", type=int, default=240_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="where to work; else a temporary folder")
    arguments = parser.parse_args()
    if arguments.dir:
        arguments.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="bench-serve-") as name:
        _measure.emit("serve", _benchmark(Path(name), arguments))


def _benchmark(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    _measure.note("writing events and decisions")
    sent = {
        "events": ("/api/v1/lineage", 1, _events(folder, arguments.events)),
        "decisions": ("/v1/decisions", BATCH, _decisions(folder, arguments.decisions)),
    }
    document: dict[str, Any] = {"clients": CLIENTS, "batch": BATCH, "rounds": arguments.rounds}
    for name, (path, batch, files) in sent.items():
        total = sum(_lines(file) for file in files)
        ours, bare, landing = [], [], []
        for number in range(arguments.rounds):
            _measure.note(f"{name}, round {number + 1}")
            with _ours(folder / "lake") as (process, port):
                ours.append(_load(process, port, path, batch, files))
                began = time.perf_counter()
                process.send_signal(signal.SIGTERM)
                assert process.wait() == 0
                landing.append(ours[-1].wall_s + time.perf_counter() - began)
                _check_all(folder / "lake", name, total)
            with _bare() as (process, port):
                bare.append(_load(process, port, path, batch, files))
        document[name] = {
            "records": total,
            "bytes_per_record": round(sum(file.stat().st_size for file in files) / total),
            "forensics": _side(ours, total),
            "in_the_lake_per_second": _measure.spread([total / s for s in landing], 0),
            "bare_starlette": _side(bare, total),
        }
    path, batch, files = sent["decisions"]
    document["kill"] = _kill(folder / "lake", path, batch, files)
    document["goals"] = [
        _goal("single events", document["events"], GOAL_EVENTS),
        _goal(f"decisions in batches of {BATCH}", document["decisions"], GOAL_DECISIONS),
        _measure.goal(
            "none acknowledged is lost and none doubled after kill -9",
            document["kill"]["lost"] + document["kill"]["doubled"],
            document["kill"]["lost"] + document["kill"]["doubled"] == 0,
        ),
    ]
    return document


def _events(folder: Path, count: int) -> list[Path]:
    """RunEvents with two datasets and a schema facet, as a pipeline's step sends them."""
    fields = [{"name": f"column_{number}", "type": "DOUBLE"} for number in range(12)]
    base = {"_producer": "https://example.com/p", "_schemaURL": "https://example.com/s.json"}
    event = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-20T12:00:00.000Z",
        "producer": "https://example.com/pipeline",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": "RUN", "facets": {"processing_engine": {**base, "version": "3.5"}}},
        "job": {"namespace": "credit", "name": "features.daily"},
        "inputs": [{"namespace": "postgres://db", "name": "payments", "facets": {}}],
        "outputs": [
            {
                "namespace": "postgres://db",
                "name": "customer_features",
                "facets": {"schema": {**base, "fields": fields}},
            }
        ],
    }
    text = json.dumps(event)
    lines = [text.replace("RUN", str(uuid.UUID(int=number))) + "\n" for number in range(count)]
    return _split(folder, "events", lines)


def _decisions(folder: Path, count: int) -> list[Path]:
    plain = folder / "decisions.jsonl"
    query = _records.decisions(0, count, count, times="text")
    duckdb.sql(f"COPY ({query}) TO '{plain}' (FORMAT json)")
    return _split(folder, "decisions", plain.read_text(encoding="utf-8").splitlines(keepends=True))


def _split(folder: Path, name: str, lines: list[str]) -> list[Path]:
    """A file for each client, each with a stretch of time of its own, as clients have none."""
    files = []
    for number in range(CLIENTS):
        files.append(folder / f"{name}-{number}.jsonl")
        files[-1].write_text("".join(lines[number::CLIENTS]), encoding="utf-8")
    return files


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


@contextmanager
def _ours(lake: Path, *, new: bool = True) -> Iterator[tuple[subprocess.Popen[str], int]]:
    if new:
        shutil.rmtree(lake, ignore_errors=True)
        _measure.run([FORENSICS, "init", str(lake)])
    command = [FORENSICS, "serve", "--lake", str(lake), "--port", "0"]
    with _server([*command, "--records-per-second", "10000000"], "stderr") as started:
        yield started


@contextmanager
def _bare() -> Iterator[tuple[subprocess.Popen[str], int]]:
    with _server([PYTHON, "-c", _BARE], "stdout") as started:
        yield started


@contextmanager
def _server(command: list[str], says_on: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        command, text=True, env=_measure.ENVIRONMENT, start_new_session=True,
        **{says_on: subprocess.PIPE},
    )  # fmt: skip
    try:
        line = getattr(process, says_on).readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        assert found, line
        yield process, int(found[1])
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _load(
    process: subprocess.Popen[str], port: int, path: str, batch: int, files: list[Path]
) -> Load:
    clients = _clients(port, path, batch, files)
    before = _cpu_s(process.pid)
    _go(clients)
    said = [json.loads(client.communicate()[0]) for client in clients]
    after = _cpu_s(process.pid)
    latencies = [each for answer in said for each in answer["latencies"]]
    expected = sum(-(-_lines(file) // batch) for file in files)
    assert len(latencies) == expected, f"{len(latencies)} of {expected} requests were answered 201"
    wall = max(answer["ended"] for answer in said) - min(answer["began"] for answer in said)
    return Load(len(latencies), wall, latencies, after[0] - before[0], after[1] - before[1])


def _clients(port: int, path: str, batch: int, files: list[Path]) -> list[subprocess.Popen[str]]:
    clients = [
        subprocess.Popen(
            [PYTHON, _LOAD, str(port), path, str(file), str(batch)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for file in files
    ]  # fmt: skip
    for client in clients:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
    return clients


def _go(clients: list[subprocess.Popen[str]]) -> None:
    for client in clients:
        assert client.stdin is not None
        client.stdin.write("go\n")
        client.stdin.flush()


def _cpu_s(pid: int) -> tuple[float, float]:
    """Processor time of a process, and of those that it started and that live."""
    children = {
        int(child)
        for path in Path(f"/proc/{pid}/task").glob("*/children")
        for child in path.read_text(encoding="ascii").split()
    }
    return _used_s(pid), sum(map(_used_s, children))


def _used_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _check_all(lake: Path, name: str, total: int) -> None:
    """Everything that was answered is in the lake, once."""
    table, column = _TABLES[name]
    rows, distinct = _count(lake, table, column)
    assert (rows, distinct) == (total, total), (rows, distinct, total)


_TABLES = {
    "events": ("lineage", "run_id"),
    "decisions": (f"decisions/{_records.POINT}", "decision_id"),
}


def _count(lake: Path, table: str, column: str) -> tuple[int, int]:
    from forensics.lake.snapshot import take

    paths = [str(path) for path in take(lake).paths(table)]
    row = duckdb.execute(
        f"SELECT count(*), count(DISTINCT {column}) FROM read_parquet($1)", [paths]
    ).fetchone()
    assert row is not None
    return row


def _kill(lake: Path, path: str, batch: int, files: list[Path]) -> dict[str, Any]:
    """Kill the server and its landing process under load, start it again, and look."""
    _measure.note("kill -9 under load")
    with _ours(lake) as (process, port):
        clients = _clients(port, path, batch, files)
        _go(clients)
        time.sleep(2.0)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said = [json.loads(client.communicate()[0]) for client in clients]
    acknowledged: set[str] = set()
    for file, answer in zip(files, said, strict=True):
        lines = file.read_bytes().splitlines()[: len(answer["latencies"]) * batch]
        acknowledged |= {json.loads(line)["decision_id"] for line in lines}
    assert acknowledged
    with _ours(lake, new=False) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    table, column = _TABLES["decisions"]
    rows, distinct = _count(lake, table, column)
    from forensics.lake.snapshot import take

    paths = [str(path) for path in take(lake).paths(table)]
    found = duckdb.execute(f"SELECT {column} FROM read_parquet($1)", [paths]).fetchall()
    lost = acknowledged - {identifier for (identifier,) in found}
    return {
        "acknowledged": len(acknowledged),
        "in_the_lake": rows,
        "lost": len(lost),
        "doubled": rows - distinct,
    }


def _side(loads: list[Load], total: int) -> dict[str, Any]:
    def at(share: float) -> Callable[[Load], float]:
        return lambda load: sorted(load.latencies)[int(len(load.latencies) * share)] * 1000

    return {
        "per_second": _measure.spread([total / load.wall_s for load in loads], 0),
        "requests_per_second": _measure.spread([load.requests / load.wall_s for load in loads]),
        "p50_ms": _measure.spread([at(0.5)(load) for load in loads], 2),
        "p99_ms": _measure.spread([at(0.99)(load) for load in loads], 2),
        "server_cpu_us_per_record": _measure.spread(
            [load.server_cpu_s / total * 1e6 for load in loads]
        ),
        "landing_cpu_us_per_record_meanwhile": _measure.spread(
            [load.landing_cpu_s / total * 1e6 for load in loads]
        ),
    }


def _goal(what: str, measured: dict[str, Any], limit: int) -> dict[str, Any]:
    rate = measured["forensics"]["per_second"]["median"]
    return _measure.goal(f"over {limit:,} {what} a second, durable", rate, rate > limit)


if __name__ == "__main__":
    main()
