"""A record as a tree, whose branches are made when they are opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from forensics.records.safe_text import safe_text
from forensics.report.words import value_words
from forensics_tui.keys import Key, bindings

_CHILDREN_MAX = 1_000
_TEXT_MAX = 2_000
KEYS = (
    Key("tree-down", "j", "cursor_down", "down one"),
    Key("tree-up", "k", "cursor_up", "up one"),
    Key("tree-fold", "space,enter", "toggle_or_leaf", "open or close a branch"),
)


class RecordTree(Tree[Any]):
    """Names and values, to the letter but inert."""

    BINDINGS = bindings(KEYS)

    def __init__(self) -> None:
        super().__init__(Text("record"), id="record")
        self.guide_depth = 2

    def show(self, parts: Mapping[str, Any]) -> None:
        """Show a mapping, its first level open."""
        self.clear()
        self.root.data = parts
        self._fill(self.root)
        self.root.expand()
        for node in self.root.children:
            if node.allow_expand:
                self._fill(node)
                node.expand()

    def action_toggle_or_leaf(self) -> None:
        """Open or close the branch under the cursor."""
        if self.cursor_node is not None and self.cursor_node.allow_expand:
            self.cursor_node.toggle()

    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Any]) -> None:
        """Make what is in a branch."""
        self._fill(event.node)

    def _fill(self, node: TreeNode[Any]) -> None:
        if node.children:
            return
        for number, (name, value) in enumerate(_items(node.data)):
            if number == _CHILDREN_MAX:
                node.add_leaf(Text(f"… {len(node.data or ()) - number:,} more"))
                return
            label = safe_text(name, 200)
            if isinstance(value, (Mapping, list, tuple)) and value:
                brackets = "{}" if isinstance(value, Mapping) else "[]"
                node.add(Text(f"{label} {brackets[0]}{len(value)}{brackets[1]}"), value)
            else:
                node.add_leaf(Text(f"{label}: {_words(value)}"), value)


def _items(data: Any) -> Iterator[tuple[Any, Any]]:
    return iter(data.items()) if isinstance(data, Mapping) else enumerate(data or ())


def _words(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return safe_text(value_words(value), _TEXT_MAX)
