"""A PostgreSQL server of our own for a comparison, where its programs are installed.

It listens on a Unix socket in its data folder alone, and runs as an unprivileged user, since it
refuses to run as root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
from _measure import ENVIRONMENT, Run, run

TABLE = "decisions"
_DATABASE = "postgres"


class Absent(Exception):
    """There is no PostgreSQL that could be asked; the message says why."""


class Server:
    """A running server and its table of decisions: ids, time, outcome and score."""

    def __init__(self, programs: Path, socket: Path, user: str | None) -> None:
        self._programs = programs
        self._socket = socket
        self._user = user

    def look_up(self, decision_id: str) -> Run:
        """A cold client that asks for one decision by either id."""
        query = (
            f"SELECT * FROM {TABLE} "
            f"WHERE request_id = '{decision_id}' OR decision_id = '{decision_id}'"
        )
        done = run(self._psql(query))
        assert decision_id.encode() in done.stdout, done.stdout
        return done

    def sizes(self) -> dict[str, int]:
        """Bytes of the table and of its indexes."""
        query = f"SELECT pg_table_size('{TABLE}'), pg_indexes_size('{TABLE}')"
        table, indexes = run(self._psql(query)).stdout.decode().split("|")
        return {"table": int(table), "indexes": int(indexes)}

    def load(self, files: Sequence[str], count: int) -> None:
        """Fill the table from Parquet files, unless it holds ``count`` rows already."""
        there = run(self._psql(f"SELECT to_regclass('{TABLE}') IS NOT NULL")).stdout.strip()
        if there == b"t":
            rows = run(self._psql(f"SELECT count(*) FROM {TABLE}")).stdout
            if int(rows) == count:
                return
        table = (
            f"DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} (request_id text, "
            "decision_id text, occurred_at timestamptz, outcome text, score double precision)"
        )
        run(self._psql(table))
        with tempfile.TemporaryDirectory() as folder:
            pipe = Path(folder) / "rows.csv"
            os.mkfifo(pipe)
            columns = "request_id, decision_id, occurred_at, outcome, score"
            copy = f"\\copy {TABLE} ({columns}) FROM '{pipe}' (FORMAT csv)"
            client = subprocess.Popen(self._psql(copy), env=ENVIRONMENT, stdout=subprocess.DEVNULL)
            rows = f"SELECT {columns} FROM read_parquet({list(files)})"
            duckdb.sql(f"COPY ({rows}) TO '{pipe}' (FORMAT csv, HEADER false)")
            if client.wait():
                raise SystemExit("psql could not load the table.")
        run(
            self._psql(
                f"SET maintenance_work_mem = '1GB'; CREATE INDEX ON {TABLE} (request_id); "
                f"CREATE INDEX ON {TABLE} (decision_id)"
            )
        )
        run(self._psql(f"VACUUM ANALYZE {TABLE}"))

    def _psql(self, query: str) -> list[str]:
        user = ["-U", self._user] if self._user else []
        program = str(self._programs / "psql")
        where = ["-h", str(self._socket), "-d", _DATABASE]
        return [program, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", *where, *user, "-c", query]


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A server over the data in ``folder``, which is made where it is not there.

    Raises:
        Absent: when there are no programs, or no user to run them.
    """
    programs = _programs()
    user = _user()
    owner = user.pw_name if user else None
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not (folder / "PG_VERSION").is_file():
        folder.mkdir(exist_ok=True)
        _own(folder, user)
        who = ["-U", owner] if owner else []
        _call(user, [programs / "initdb", "-D", folder, "--no-sync", "-A", "trust", *who])
    socket = Path(tempfile.mkdtemp(prefix="pg-"))
    _own(socket, user)
    options = (
        f"-k {socket} -c listen_addresses='' -c max_wal_size=8GB -c wal_level=minimal "
        "-c max_wal_senders=0 -c shared_buffers=1GB -c fsync=off"
    )
    control = [programs / "pg_ctl", "-D", folder, "-w", "-t", "300", "-l", folder / "server.log"]
    try:
        _call(user, [*control, "-o", options, "start"])
        try:
            yield Server(programs, socket, owner)
        finally:
            _call(user, [*control, "-m", "fast", "stop"])
    finally:
        shutil.rmtree(socket, ignore_errors=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    on_path = shutil.which("pg_ctl")
    found += [Path(on_path).resolve().parent] if on_path else []
    for folder in reversed(found):
        if all((folder / name).is_file() for name in ("initdb", "pg_ctl", "postgres", "psql")):
            return folder
    raise Absent("no PostgreSQL server is installed")


def _user() -> pwd.struct_passwd | None:
    """Who the server runs as; None for ourselves."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Absent("PostgreSQL does not run as root, and there is no other user")


def _own(folder: Path, user: pwd.struct_passwd | None) -> None:
    folder.chmod(0o700)
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)


def _call(user: pwd.struct_passwd | None, command: Sequence[object]) -> None:
    become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        **become,  # type: ignore[arg-type]
    )
    if done.returncode:
        raise Absent(f"{command[0]} failed: {done.stderr.decode(errors='replace').strip()[:300]}")
