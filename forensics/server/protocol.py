"""uvicorn's HTTP with the limits that it lacks: on the size and the time of a request's head.

A body's time and size are the application's; what a sender still sends after the answer is ours.
"""

from __future__ import annotations

from asyncio import BaseTransport, TimerHandle, Transport
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 << 10


class Protocol(HttpToolsProtocol):
    """One connection. ``head_seconds`` is set on a subclass; see :func:`with_timeout`."""

    head_seconds = 30.0

    _timer: TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: BaseTransport) -> None:
        """A sender is there; its first request's head is due."""
        super().connection_made(cast(Transport, transport))
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """A sender is gone."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; those of a head are counted."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        # What came with the end of a head may be its body, and is no longer counted.
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
                b"connection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._in_head, self._head_bytes = False, 0
        self._expect_nothing()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A body is whole."""
        if self.cycle.response_complete:
            self._expect_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is out; what is left of its request may not go on for ever."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._expect()

    def _expect(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self.transport.abort()


def with_timeout(seconds: float) -> type[Protocol]:
    """The protocol whose requests' heads must come within ``seconds``."""
    return type("TimedProtocol", (Protocol,), {"head_seconds": seconds})
