"""Keys are answered one after the other, also when they come faster than that.

Textual queues a key at the widget that has the focus when the key is read, and does what it is
bound to once it has come up to the application. A key that moves the focus has then not been
answered while the next is queued behind it: who types ahead would command the table instead of
writing a condition.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from textual.events import Event, Key
from textual.message_pump import MessagePump

if TYPE_CHECKING:
    from textual.app import App

    _App = App[Any]
else:
    _App = object


class KeysInOrder(_App):
    """Part of an application: a key waits until the one before has been answered."""

    _key_busy = False
    _keys_waiting: deque[Key]

    async def on_event(self, event: Event) -> None:
        """Take keys one by one, and everything else as it comes."""
        if not isinstance(event, Key) or event.is_forwarded:
            await super().on_event(event)
        elif self._key_busy:
            self._keys_waiting.append(event)
        else:
            await self._take(event)

    async def _take(self, key: Key) -> None:
        self._key_busy = True
        way: MessagePump = self.screen.focused or self.screen
        await super().on_event(key)
        # Once behind the key, once behind the messages that its action may have sent.
        await self._follow(way, [way])

    async def _follow(self, node: MessagePump | None, again: list[MessagePump]) -> None:
        """Go the way that the key goes up to the application, one place behind it."""
        if node is not None and node is not self and node.is_running:
            node.call_later(self._follow, node._parent, again)
        elif again:
            self.call_later(self._follow, again.pop(), again)
        else:
            self.call_later(self._answered)

    async def _answered(self) -> None:
        self._key_busy = False
        if self._keys_waiting:
            await self._take(self._keys_waiting.popleft())
