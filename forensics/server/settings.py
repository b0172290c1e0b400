"""What a server is told: where it listens, how much it takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_PORT = 8787


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits of one server; every one of them ends in an answer that names it."""

    host: str = "127.0.0.1"
    #: 0 lets the system choose.
    port: int = DEFAULT_PORT
    #: A spool file is closed, and then taken into the lake, once it is this old.
    batch_seconds: float = 3.0
    #: Or once it holds so many records.
    batch_rows: int = 20_000
    #: Of a request's body, as sent and as decompressed.
    request_bytes_max: int = 16 << 20
    #: Requests with a body that are under way at a time.
    concurrency_max: int = 64
    #: Bytes of all bodies that are under way.
    held_bytes_max: int = 256 << 20
    connections_max: int = 1_000
    #: Records that a token may send a second, where its entry says nothing else.
    records_per_second: float = 100_000.0
    #: A request's head, and its body, must each have arrived by then.
    timeout_seconds: float = 30.0
    #: What waits for the lake may take so much of the disk; then requests are told to come later.
    spool_bytes_max: int = 2 << 30
    #: Say each request on standard error.
    access_log: bool = False
