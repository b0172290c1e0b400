"""One client of a server: sends the lines of a file in batches over one connection, at full speed.

It does no more than it must, since it shares the processor with what is measured: requests are
bytes made beforehand, answers are read to their end and looked at for their status only.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path


def main(port: int, path: str, file: str, batch: int) -> None:
    requests = _requests(path, Path(file).read_bytes().splitlines(keepends=True), batch)
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print("ready", flush=True)
    sys.stdin.readline()
    latencies: list[float] = []
    began = time.time()
    try:
        for request in requests:
            sent = time.perf_counter()
            connection.sendall(request)
            if not _is_created(connection):
                break
            latencies.append(time.perf_counter() - sent)
    except OSError:  # the server was killed
        pass
    print(json.dumps({"began": began, "ended": time.time(), "latencies": latencies}))


def _requests(path: str, lines: list[bytes], batch: int) -> list[bytes]:
    kind = "application/json" if batch == 1 else "application/x-ndjson"
    made = []
    for at in range(0, len(lines), batch):
        body = b"".join(lines[at : at + batch])
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def _is_created(connection: socket.socket) -> bool:
    answer = connection.recv(65_536)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 201 "):
        return False
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65_536)
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
