"""What was answered 201 is in the lake, once, whatever ends the server and whoever else writes."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest
from serving import NDJSON, Serve, Serving

import forensics
from forensics.ingest import quarantine
from forensics.lake import layout
from forensics.server import spool
from forensics.testing import decision_record, write_lines

CLIENTS = 8


class Clients(threading.Thread):
    """Eight senders of small batches; each notes what it sent and what was acknowledged."""

    def __init__(self, serving: Serving, seed: int) -> None:
        super().__init__()
        self.sent: set[str] = set()
        self.acknowledged: set[str] = set()
        self.others: set[int] = set()
        self._port, self._seed = serving.port, seed
        self._over = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        senders = [threading.Thread(target=self._send, args=(n,)) for n in range(CLIENTS)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def _send(self, number: int) -> None:
        chosen = random.Random(f"{self._seed} {number}")
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            while not self._over.is_set():
                names = {f"d-{uuid.uuid4()}" for _ in range(chosen.choice([1, 1, 5, 40]))}
                body = b"".join(
                    json.dumps(decision_record(decision_id=name, request_id=name)).encode() + b"\n"
                    for name in sorted(names)
                )
                with self._lock:
                    self.sent |= names
                connection.request("POST", "/v1/decisions", body, NDJSON)
                answer = connection.getresponse()
                answer.read()
                with self._lock:
                    if answer.status == 201:
                        self.acknowledged |= names
                    else:
                        self.others.add(answer.status)
        except (http.client.HTTPException, OSError):  # the server is gone
            pass
        finally:
            connection.close()


def in_lake(lake: Path) -> list[str]:
    return [row["decision_id"] for row in forensics.open(lake).find()]


def check(lake: Path, clients: list[Clients], ingested: AbstractSet[str] = frozenset()) -> None:
    found = in_lake(lake)
    assert len(found) == len(set(found)), "doubled"
    acknowledged = ingested.union(*(each.acknowledged for each in clients))
    assert not acknowledged - set(found), "acknowledged and lost"
    assert not set(found) - ingested.union(*(each.sent for each in clients)), "invented"
    assert quarantine.load(lake) == []


def torment(lake: Path, kills: int, seed: int) -> None:
    chosen = random.Random(seed)
    rounds: list[Clients] = []
    for _ in range(kills):
        serving = Serving(lake, "--batch-seconds", "0.5", "--batch-rows", "1000")
        rounds.append(Clients(serving, seed))
        rounds[-1].start()
        serving.until("forensics_records_taken_total", 1)
        time.sleep(chosen.uniform(0.2, 2.0))
        serving.kill()
        rounds[-1].stop()
        assert not rounds[-1].others
    assert all(each.acknowledged for each in rounds)
    serving = Serving(lake, "--batch-seconds", "0.2")
    assert serving.stop() == 0
    assert spool.backlog(lake).files == 0
    check(lake, rounds)


def test_two_kills_under_load_lose_and_double_nothing(lake: Path) -> None:
    torment(lake, 2, 2026)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(5))
def test_twenty_kills_under_load_lose_and_double_nothing(lake: Path, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201
    torment(lake, 20, seed)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_lands_everything_and_exits_0(
    serve: Serve, lake: Path, how: signal.Signals
) -> None:
    serving = serve("--batch-seconds", "3600")
    clients = Clients(serving, 1)
    clients.start()
    serving.until("forensics_records_taken_total", 100)
    assert serving.stop(how) == 0
    clients.stop()
    assert clients.acknowledged
    assert spool.backlog(lake).files == 0
    check(lake, [clients])
    assert len(serving.said) == 1, serving.said


def test_a_request_under_way_is_finished_before_the_end(serve: Serve, lake: Path) -> None:
    serving = serve()
    body = json.dumps(decision_record()).encode()
    with serving.socket() as raw:
        raw.sendall(
            b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        serving.until("forensics_requests_under_way", 1)
        serving.process.send_signal(signal.SIGTERM)
        serving.closes()
        raw.sendall(body)
        assert b" 201 " in raw.recv(1000)
    assert serving.process.wait(timeout=60) == 0
    assert len(in_lake(lake)) == 1


def test_a_second_signal_ends_it_at_once_and_leaves_the_spool(serve: Serve, lake: Path) -> None:
    serving = serve("--batch-seconds", "3600")
    assert serving.send("/v1/decisions", json.dumps(decision_record()).encode()).status == 201
    with serving.socket() as raw:
        raw.sendall(
            b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n"
        )
        serving.until("forensics_requests_under_way", 1)
        serving.process.send_signal(signal.SIGTERM)
        serving.closes()
        assert serving.stop() == 130
    assert spool.backlog(lake).files == 1
    assert serve().stop() == 0
    assert len(in_lake(lake)) == 1


def test_a_killed_server_lands_what_it_held_all_the_same(serve: Serve, lake: Path) -> None:
    """Its landing process notices, adopts the open file and finishes."""
    serving = serve("--batch-seconds", "3600")
    assert serving.send("/v1/decisions", json.dumps(decision_record()).encode()).status == 201
    serving.process.kill()
    deadline = time.monotonic() + 60
    while spool.backlog(lake).files:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(in_lake(lake)) == 1


def test_a_landing_process_that_is_killed_is_started_again(serve: Serve, lake: Path) -> None:
    serving = serve("--batch-seconds", "0.2")
    pid = serving.process.pid
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    (child,) = (int(text) for path in tasks for text in path.read_text("ascii").split())
    os.kill(child, signal.SIGKILL)
    assert serving.send("/v1/decisions", json.dumps(decision_record()).encode()).status == 201
    serving.wait_for("starts again")
    serving.until("forensics_landed_records_total", 1)
    assert serving.metric("forensics_landing_restarts_total") == 1
    assert serving.stop() == 0
    assert len(in_lake(lake)) == 1


def test_drain_lands_what_is_left_and_says_so(serve: Serve, lake: Path) -> None:
    folder = lake / "spool" / "records"
    folder.mkdir(parents=True)
    whole = json.dumps(decision_record()).encode() + b"\n"
    orphan = folder / "records-20260101T000000.000000Z-dead.open"
    orphan.write_bytes(whole + b'{"half')
    done = subprocess.run(
        [sys.executable, "-m", "forensics", "serve", "--drain", "--lake", str(lake)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "never acknowledged" in done.stderr
    assert "1 landed, 0 already present, 0 quarantined" in done.stderr
    assert len(in_lake(lake)) == 1
    assert quarantine.load(lake) == []


def test_two_servers_an_ingest_and_a_compaction_share_a_lake(
    serve: Serve, lake: Path, tmp_path: Path
) -> None:
    servings = [serve("--batch-seconds", "1") for _ in range(2)]
    rounds = [Clients(serving, seed) for seed, serving in enumerate(servings)]
    for clients in rounds:
        clients.start()
    made = [decision_record() for _ in range(300)]
    file = write_lines(tmp_path / "log.jsonl", made)
    command = [sys.executable, "-m", "forensics", "--lake", str(lake)]
    subprocess.run([*command, "ingest", str(file)], check=True, timeout=120)
    # It goes on while there is something to merge, and the servers see to that.
    compaction = subprocess.Popen([*command, "compact"])
    time.sleep(1.5)
    for clients in rounds:
        clients.stop()
    assert compaction.wait(timeout=120) == 0
    for serving in servings:
        assert serving.stop() == 0
    assert spool.backlog(lake).files == 0
    check(lake, rounds, {record["decision_id"] for record in made})


def test_a_new_lake_has_no_spool(tmp_path: Path) -> None:
    layout.create(tmp_path / "lake")
    assert spool.backlog(tmp_path / "lake").files == 0
    assert spool.adopt(tmp_path / "lake") == []
