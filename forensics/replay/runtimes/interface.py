"""What a model runtime must offer, and how a model file is told from another.

The worker process imports this before anything else, so it needs no module but the built-in ones.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from typing import Any

#: What a prediction can be asked for: the model's own output, the value before its last
#: transformation, and the contribution of each feature to that margin with the bias last.
KINDS = ("value", "margin", "contributions")

#: A model format's first bytes, and what to tell a person who has such a file.
_REFUSED = (
    (
        b"\x80",
        "the file is a Python pickle, which runs code when it is read and is never loaded",
        "Save the model in its library's own format, e.g. Booster.save_model('model.ubj').",
    ),
    (b"tree\n", "LightGBM models cannot be replayed yet", ""),
    (b"CBM1", "CatBoost models cannot be replayed yet", ""),
    (b"\x1f\x8b", "the file is compressed", "Record the model file as the service loads it."),
    (b"PK\x03\x04", "the file is a zip archive, not a model format that is known here", ""),
    (b"binf", "the file is in XGBoost's old binary format", "Save it again as .ubj or .json."),
)


class ModelRefusedError(Exception):
    """The model file will not be run here: the reason, and the way out where there is one."""

    def __init__(self, reason: str, todo: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.todo = todo


class Runtime:
    """A model, loaded by its own library, in the worker process.

    Args:
        data: the model file's bytes.
        library: path of the shared library that runs it.
    """

    def __init__(self, data: bytes, library: str) -> None:
        raise NotImplementedError

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model in JSON terms, and the cut points of all features one after another.

        The first has the fields of :class:`forensics.replay.client.ModelDescription`, with
        ``cut_counts`` in place of ``cuts``.
        """
        raise NotImplementedError

    def predict(self, rows: array[float], count: int, kind: str, trees: int, threads: int) -> bytes:
        """Native float32 answers for ``count`` rows of float32 features, row after row.

        ``trees`` limits the boosting rounds used; 0 means all of them.
        """
        raise NotImplementedError


def detect(head: bytes) -> str:
    """The runtime's name for a model file that begins with ``head``.

    Raises:
        ModelRefusedError: for a format that is never loaded, or that nothing here can run.
    """
    for magic, reason, todo in _REFUSED:
        if head.startswith(magic):
            raise ModelRefusedError(reason, todo)
    if head[:1] == b"{":
        return "xgboost"
    what = "is empty" if not head else f"begins with {head[:8]!r}, no model format known here"
    raise ModelRefusedError(f"the file {what}")
