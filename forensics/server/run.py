"""The life of a server: it binds, serves, and when told to stop lands what it holds."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from forensics.errors import ForensicsError, UsageError
from forensics.lake import spool_key
from forensics.lake.layout import identity
from forensics.server import landing
from forensics.server.app import Server
from forensics.server.check import Checker
from forensics.server.intake import Intake
from forensics.server.lander import Lander
from forensics.server.protocol import with_timeout
from forensics.server.settings import Settings
from forensics.server.spool import Spool
from forensics.server.tokens import Token

Say = Callable[[str], None]
#: The threads that check and sync must not wait long for the one that answers, nor it for them.
_SWITCH_SECONDS = 0.001
_GRACE_SECONDS = 5


def serve(root: Path, settings: Settings, senders: Sequence[Token], say: Say) -> None:
    """Serve the lake at ``root`` until SIGTERM or SIGINT, then land what was acknowledged.

    Args:
        root: an existing lake.
        settings: address and limits.
        senders: tokens; none only for a loopback address.
        say: takes lines for a person.

    Raises:
        UsageError: when the address may not or cannot be listened on.
        ForensicsError: when acknowledged records could not be landed; they stay in the spool.
        LakeError: when something is personal, and the key store cannot be opened.
    """
    identity(root)
    spool_key.sealer(root)  # who cannot encrypt what is personal does not begin to take it
    listener = listen(settings.host, settings.port, open_to_all=not senders)
    sys.setswitchinterval(_SWITCH_SECONDS)
    lander = Lander(root, say)
    files = Spool(root, rows_max=settings.batch_rows, seconds_max=settings.batch_seconds)
    intake = Intake(root, Checker(root), files, lander.call, settings.batch_seconds)
    server = Server(root, settings, senders, intake=intake, files=files, lander=lander, say=say)
    # Requests that are not HTTP are their sender's trouble, not a line in our log each.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        server.application(),
        http=with_timeout(settings.timeout_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=settings.connections_max,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(settings.timeout_seconds) + _GRACE_SECONDS,
    )
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    who = (
        f"{len(senders)} token{'s' if len(senders) > 1 else ''}"
        if senders
        else "no tokens, so only programs on this machine can send"
    )
    lander.start()
    running = _Server(
        config, lander, f"Listening on http://{shown}:{port} · lake {root} · {who}", say
    )
    try:
        running.run(sockets=[listener])
    finally:
        clean = lander.finish()
    if not clean:
        raise ForensicsError(
            "Some acknowledged records are not in the lake yet.",
            "They could not be landed before the server ended, and are safe in its spool.",
            "Start the server again, or run: forensics serve --drain",
        )


def drain(root: Path, say: Say) -> None:
    """Land what a killed server left in the spool, without serving.

    Raises:
        ForensicsError: when some of it could not be landed.
    """
    identity(root)
    counts = {"landed": 0, "already_present": 0, "quarantined": 0}

    def tell(event: dict[str, object]) -> None:
        for name in counts:
            counts[name] += int(str(event.get(name, 0)))
        if event["event"] == "note":
            say(str(event["text"]))
        if event["event"] == "failed":
            say(f"{event['what']} {event['why']}")

    if failed := landing.sweep(root, tell):
        raise ForensicsError(
            f"{failed:,} files of the spool could not be landed.", "", "They stay there; try again."
        )
    say(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))


def listen(host: str, port: int, *, open_to_all: bool) -> socket.socket:
    """A socket bound to ``host`` and ``port``.

    Raises:
        UsageError: when the address is unknown or taken, or is no loopback address although
            everyone may send.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"No address is known for the host {host!r}.", f"{error}.") from error
    family, kind, protocol, _, address = found[0]
    if open_to_all and not ipaddress.ip_address(address[0]).is_loopback:
        raise UsageError(
            f"Without tokens the server listens on the loopback address only, not on {host}.",
            "Whoever reached it there could write evidence.",
            "Name a file of tokens: --tokens FILE; or leave --host out.",
        )
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"{host}, port {port} cannot be listened on.",
            f"{error.strerror}.",
            "Name another with --port; 0 lets the system choose.",
        ) from error
    return listener


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens and leaves a signal's meaning to us."""

    def __init__(self, config: uvicorn.Config, lander: Lander, words: str, say: Say) -> None:
        super().__init__(config)
        self._lander, self._words, self._say = lander, words, say

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._say(self._words)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at the first signal; uvicorn would then die of it, before the spool has landed."""
        # Ours stay: a second signal is to end the landing too, which comes after this.
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._stop)
        yield

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            self.should_exit = True
            return
        self._lander.kill()
        raise KeyboardInterrupt
