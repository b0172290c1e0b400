"""What an ONNX file says of its model, read without ONNX: a small part of ``onnx.proto``.

https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; the wire format of protocol buffers is
described at https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

#: The messages within a message that tensors, nodes and graphs can stand in, by field number.
_WITHIN = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}  # fmt: skip

#: Fields of an attribute that hold a list of numbers or texts, one field for each.
_LISTS = (7, 8, 9)
_LABELS = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")
_EXTERNAL = 1


class OnnxFile(NamedTuple):
    """What there is to know of a model before it is loaded.

    Attributes:
        ir_version: of the file format.
        opsets: version of each operator set used; the standard one is ``ai.onnx``.
        producer: program that wrote the file, with its version.
        metadata: what it wrote into it, by name.
        labels: classes that the model's classifiers tell apart, as texts.
        operators: every operator that the model uses, as first met.
        external: names of tensors whose data lie in other files.
    """

    ir_version: int
    opsets: dict[str, int]
    producer: str
    metadata: dict[str, str]
    labels: tuple[str, ...]
    operators: tuple[str, ...]
    external: tuple[str, ...]


def read_model(data: bytes) -> OnnxFile:
    """What the file says of its model.

    Raises:
        ValueError: when it is no protocol buffer, or is cut short.
    """
    ir_version, producer = 0, ["", ""]
    opsets: dict[str, int] = {}
    metadata: dict[str, str] = {}
    for number, value in fields(memoryview(data)):
        if number == 1 and isinstance(value, int):
            ir_version = value
        elif number in (2, 3):
            producer[number - 2] = _text(value)
        elif number == 8:
            pair = dict(fields(_message(value)))
            opsets[_text(pair.get(1, b"")) or "ai.onnx"] = _number(pair.get(2, 0))
        elif number == 14:
            pair = dict(fields(_message(value)))
            metadata[_text(pair.get(1, b""))] = _text(pair.get(2, b""))
    labels: tuple[str, ...] = ()
    operators: dict[str, None] = {}
    external = []
    for kind, message in _walk("model", memoryview(data)):
        if kind == "attribute":
            labels = _labels(message) or labels
        elif kind == "node":
            operators.update((_text(value), None) for at, value in fields(message) if at == 4)
        else:
            found = dict(fields(message))
            if found.get(14) == _EXTERNAL:
                external.append(_text(found.get(8, b"")))
    return OnnxFile(
        ir_version, opsets, " ".join(filter(None, producer)), metadata, labels,
        tuple(operators), tuple(external),
    )  # fmt: skip


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message in order: number, and an integer or the bytes of it.

    Raises:
        ValueError: when it is no message, or is cut short.
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"byte {at} is no field")
        if at + size > len(data):
            raise ValueError("the file is cut short")
        yield number, data[at : at + size]
        at += size


def _walk(kind: str, message: memoryview) -> Iterator[tuple[str, memoryview]]:
    """The nodes, attributes and tensors within a message, however deep."""
    pending = [(kind, message)]
    while pending:
        kind, message = pending.pop()
        if kind in ("node", "attribute", "tensor"):
            yield kind, message
        within, found = _WITHIN[kind], []
        for number, value in fields(message) if within else ():
            if kind == "attribute" and number in _LISTS:
                break  # which may be millions of fields, and nothing else follows
            if number in within:
                found.append((within[number], _message(value)))
        pending += reversed(found)


def _labels(attribute: memoryview) -> tuple[str, ...]:
    found: list[str] = []
    for number, value in fields(attribute):
        if number == 1:
            if _text(value) not in _LABELS:
                return ()
        elif number == 9:
            found.append(_text(value))
        elif number == 8 and isinstance(value, int):
            found.append(str(value - (1 << 64) if value >> 63 else value))
        elif number == 8:  # packed
            at, packed = 0, _message(value)
            while at < len(packed):
                label, at = _varint(packed, at)
                found.append(str(label - (1 << 64) if label >> 63 else label))
    return tuple(found)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("the file is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"byte {at} is no field")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message is expected")
    return value


def _text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        raise ValueError("a number stands where a text is expected")
    return bytes(value).decode(errors="replace")


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes stand where a number is expected")
    return value
