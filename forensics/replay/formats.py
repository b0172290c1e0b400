"""How a model file is told from another: by its content, since artifacts are stored by digest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from forensics.replay.runtimes.interface import ModelRefusedError

_PICKLE = (
    "the file is a Python pickle, which runs code when it is read and is never loaded",
    "Save the model in its library's own format, e.g. Booster.save_model('model.ubj'), and one of"
    " scikit-learn with skops.io.dump.",
)
_COMPRESSED = (
    "the file is compressed",
    "Record the model file as the service loads it; a compressed pickle, as joblib writes them, is"
    " never loaded: save the model with skops.io.dump.",
)
_NETWORK = "Export the model to ONNX."

#: A format's first bytes, why it is refused, and the way out.
_REFUSED = (
    *((b"\x80" + bytes([protocol]), *_PICKLE) for protocol in range(2, 6)),
    (b"\x1f\x8b", *_COMPRESSED),
    *((b"\x78" + bytes([level]), *_COMPRESSED) for level in (0x01, 0x5E, 0x9C, 0xDA)),
    *((magic, *_COMPRESSED) for magic in (b"BZh", b"\xfd7zXZ", b"]\0\0", b'\x04"M\x18')),
    (b"\x28\xb5\x2f\xfd", *_COMPRESSED),
    (b"ZF0x", *_PICKLE),  # joblib before 0.10
    (b"\x93NUMPY", "the file is a NumPy array, not a model", ""),
    (b"\x89HDF\r\n", "the file is HDF5, as Keras writes it, which nothing here can run", _NETWORK),
    (b"binf", "the file is in XGBoost's old binary format", "Save it again as .ubj or .json."),
    (b"<?xml", "the file is XML (PMML?), which nothing here can run", ""),
)

#: Pickles of the first two protocols, which have no mark: a class, an object, a list, a dictionary
#: or a tuple, of which the first item may come first.
_OLD_PICKLE = re.compile(
    rb"\(*c[\w.]+\n[\w.]+\n|\(i[\w.]+\n[\w.]+\n|\([ldt]p\d+\n|[\]}]q\0|\([IFVS][^\n]*\n"
)

#: Top-level fields of ONNX's ModelProto by tag; those of length-delimited ones end in 2.
#: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_ONNX_TAGS = frozenset(
    number << 3 | kind
    for number, kind in (
        (1, 0), (2, 2), (3, 2), (4, 2), (5, 0), (6, 2), (7, 2), (8, 2), (14, 2), (20, 2), (25, 2),
        (26, 2),
    )
)  # fmt: skip
_ONNX_GRAPH = 7 << 3 | 2
_OWN_TYPE = re.compile(rb'"type"\s*:\s*"([^"\\]{1,40})"')


def detect(path: Path) -> str:
    """The runtime's name for the model file at ``path``.

    Raises:
        ModelRefusedError: for a format that is never loaded, or that nothing here can run.
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(256)
        for magic, reason, todo in _REFUSED:
            if head.startswith(magic):
                raise ModelRefusedError(reason, todo)
        if head[:1] == b"{":
            return _of_braces(head, file)
        if head.startswith((b"tree\n", b"tree\r\n")):
            return "lightgbm"
        if head.startswith(b"CBM1"):
            return "catboost"
        if head.startswith(b"PK\x03\x04"):
            return _of_zip(file)
        if _OLD_PICKLE.match(head):
            raise ModelRefusedError(*_PICKLE)
        if _is_onnx(file):
            return "onnx"
    what = "is empty" if not head else f"begins with {head[:8]!r}, no model format known here"
    raise ModelRefusedError(f"the file {what}")


def _of_braces(head: bytes, file: BinaryIO) -> str:
    """XGBoost's JSON or UBJSON, whose first key is always the same, or our own JSON."""
    if head[1:2] not in b'" \r\n\t' or re.match(rb'\{\s*"(learner|Config)"', head):
        return "xgboost"
    file.seek(0)
    data = file.read()
    found = _OWN_TYPE.search(data)
    if b'"learner"' in data[: found.start() if found is not None else None]:
        return "xgboost"
    if found is None:
        raise ModelRefusedError("the file is JSON, and no model")
    kind = found[1].decode(errors="replace")
    if kind in ("linear", "scorecard"):
        return "linear"
    raise ModelRefusedError(f"the file is JSON of type {kind!r}, which is no model")


def _of_zip(file: BinaryIO) -> str:
    from zipfile import BadZipFile, ZipFile

    try:
        names = ZipFile(file).namelist()
    except (BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ModelRefusedError(
            f"the file is a zip archive that is cut short or damaged: {error}"
        ) from error
    if any(name.endswith((".pkl", ".pickle", ".joblib")) for name in names):
        raise ModelRefusedError(
            "the file is a zip archive with a Python pickle in it, as PyTorch writes it; a pickle"
            " runs code when it is read and is never loaded",
            _NETWORK,
        )
    if "schema.json" in names:
        return "sklearn"
    if any(name.endswith((".h5", ".keras")) for name in names):
        raise ModelRefusedError("the file is a Keras model, which nothing here can run", _NETWORK)
    if names and all(name.endswith(".npy") for name in names):
        raise ModelRefusedError("the file holds NumPy arrays, not a model")
    raise ModelRefusedError("the file is a zip archive, not a model format that is known here")


def _is_onnx(file: BinaryIO) -> bool:
    """Whether the file is made of ModelProto's fields, or begins as one and is cut short."""
    file.seek(0, 2)
    size = file.tell()
    file.seek(0)
    tags = []
    at = 0
    while at < size:
        tag = _varint(file)
        if tag not in _ONNX_TAGS:
            return False
        tags.append(tag)
        value = _varint(file)
        if value is None:
            break
        if tags == [1 << 3] and not 1 <= value < 256:
            return False
        if tag & 7:
            file.seek(value, 1)
        at = file.tell()
    return (at == size and _ONNX_GRAPH in tags) or (tags[:1] == [1 << 3] and len(tags) > 1)


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
