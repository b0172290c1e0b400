"""``forensics serve`` on the command line: what it says, what it refuses, how it ends."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forensics.testing import decision_record

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start(lake: Path) -> Iterator[Start]:
    """Start a server on a free port; the process and its first line."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "forensics", "serve", "--lake", str(lake), "--port", "0"]
        process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stderr is not None
        return process, process.stderr.readline()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def post(first_line: str, record: dict[str, Any]) -> int:
    request = urllib.request.Request(
        f"{first_line.split()[2]}/v1/decisions",
        json.dumps(record).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)


def test_it_says_in_one_line_where_it_listens_and_who_may_send(start: Start, lake: Path) -> None:
    process, line = start()
    assert line.startswith("Listening on http://127.0.0.1:")
    assert str(lake) in line
    assert "no tokens" in line
    assert post(line, decision_record()) == 201
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")


def test_what_it_took_can_be_traced(start: Start, lake: Path, run: Callable[..., Any]) -> None:
    process, line = start()
    record = decision_record()
    assert post(line, record) == 201
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    done = run("trace", record["request_id"], "--lake", lake, "--json", "--no-replay")
    assert done.json["decision"]["decision_id"] == record["decision_id"]
    assert done.json["integrity"]["verified"]


def test_the_access_log_names_address_status_and_sender(start: Start) -> None:
    process, line = start("--access-log")
    assert post(line, decision_record()) == 201
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=60)
    assert rest.startswith("POST /v1/decisions 201 anyone ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_without_tokens_it_listens_to_this_machine_only(
    run: Callable[..., Any], lake: Path, host: str
) -> None:
    done = run("serve", "--lake", lake, "--port", "0", "--host", host)
    assert done.code == 2
    assert "loopback" in done.err
    assert "--tokens FILE" in done.err


def test_with_tokens_it_listens_where_it_is_told(start: Start, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    path = tmp_path / "tokens.toml"
    path.write_text(f'[[token]]\nname = "a"\nsha256 = "{digest}"\nscopes = ["lineage"]\n')
    _, line = start("--tokens", str(path), "--host", "0.0.0.0")
    assert line.startswith("Listening on http://0.0.0.0:")
    assert "1 token" in line


def test_a_taken_port_and_an_unknown_host_are_usage_errors(
    run: Callable[..., Any], lake: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--lake", lake, "--port", port)
    assert done.code == 2
    assert "cannot be listened on" in done.err
    done = run("serve", "--lake", lake, "--host", "no such host")
    assert done.code == 2
    assert "No address is known" in done.err


def test_there_must_be_a_lake_and_a_file_of_tokens(
    run: Callable[..., Any], lake: Path, tmp_path: Path
) -> None:
    done = run("serve", "--lake", tmp_path / "none")
    assert done.code == 1
    assert "forensics init" in done.err
    done = run("serve", "--lake", lake, "--tokens", tmp_path / "none.toml")
    assert done.code == 2
    assert "none.toml cannot be read" in done.err


def test_without_the_extra_it_says_what_to_install(lake: Path) -> None:
    code = (
        "import sys\nsys.modules['uvicorn'] = None\n"
        "from forensics.cli.main import run\n"
        f"sys.exit(run(['serve', '--lake', {str(lake)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "decision-forensics[serve]" in done.stderr


def test_the_help_loads_no_server() -> None:
    code = (
        "import sys\nfrom forensics.cli.main import run\nrun(['serve', '--help'])\n"
        "heavy = {'uvicorn', 'starlette', 'asyncio', 'pyarrow', 'duckdb'} & sys.modules.keys()\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_to_drain_is_fine(run: Callable[..., Any], lake: Path) -> None:
    done = run("serve", "--drain", "--lake", lake)
    assert done.code == 0
    assert "0 landed" in done.err
