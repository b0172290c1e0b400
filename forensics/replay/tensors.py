"""Inputs and outputs as tests of ONNX keep them: ``input_0.pb``, ``output_0.pb``, a tensor each.

https://github.com/onnx/onnx/blob/main/docs/OnnxBackendTest.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from forensics.errors import UsageError
from forensics.replay.runtimes.protobuf import fields

#: By number of a tensor's type: how one value is packed, and the field that may hold them unpacked.
_TYPES = {
    1: ("f", 4), 2: ("B", 5), 3: ("b", 5), 4: ("H", 5), 5: ("h", 5), 6: ("i", 5), 7: ("q", 7),
    9: ("?", 5), 11: ("d", 10), 12: ("I", 11), 13: ("Q", 11),
}  # fmt: skip
_TEXT = 8


class Tensor(NamedTuple):
    """A tensor's name, its shape, and its values in row-major order."""

    name: str
    shape: tuple[int, ...]
    values: list[float] | list[str]

    @property
    def rows(self) -> int:
        """Length of the first dimension; 1 where there is none."""
        return self.shape[0] if self.shape else 1


def read_folder(folder: Path) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of a test in the order of their numbers.

    Raises:
        UsageError: when the folder has no inputs, or a file of it is no tensor.
    """
    found = []
    for kind in ("input", "output"):
        numbered = []
        for path in folder.glob(f"{kind}_*.pb"):
            digits = path.stem.removeprefix(f"{kind}_")
            if digits.isdigit():
                numbered.append((int(digits), path))
        found.append([_read(path) for _, path in sorted(numbered)])
    inputs, outputs = found
    if not inputs:
        raise UsageError(
            f"{folder} holds no rows.", "It has no input_0.pb, as a test of ONNX has.",
            "Give a CSV file, or such a folder.",
        )  # fmt: skip
    return inputs, outputs


def _read(path: Path) -> Tensor:
    try:
        return _tensor(path.read_bytes())
    except (OSError, ValueError, struct.error) as error:
        raise UsageError(f"{path} is no tensor.", f"{error}.") from error


def _tensor(data: bytes) -> Tensor:
    shape: list[int] = []
    kind, name = 0, ""
    held: dict[int, list[bytes | int]] = {}
    for number, value in fields(memoryview(data)):
        plain = value if isinstance(value, int) else bytes(value)
        if number == 1:
            shape += [plain] if isinstance(plain, int) else _whole(plain)
        elif number == 2 and isinstance(plain, int):
            kind = plain
        elif number == 8 and isinstance(plain, bytes):
            name = plain.decode()
        else:
            held.setdefault(number, []).append(plain)
    if kind == _TEXT:
        texts = [text.decode() for text in held.get(6, ()) if isinstance(text, bytes)]
        return _checked(name, shape, texts)
    if kind not in _TYPES:
        raise ValueError(f"tensors of type {kind} are not read here")
    code, field = _TYPES[kind]
    return _checked(name, shape, list(_numbers(code, held.get(9, ()), held.get(field, ()))))


def _numbers(code: str, raw: object, unpacked: object) -> Iterator[float]:
    assert isinstance(raw, (list, tuple))
    assert isinstance(unpacked, (list, tuple))
    for block in raw:
        yield from (value for (value,) in struct.iter_unpack(f"<{code}", block))
    for block in unpacked:
        if isinstance(block, int):
            yield block - (1 << 64) if block >> 63 else block
        elif code in "fd":
            yield from (value for (value,) in struct.iter_unpack(f"<{code}", block))
        else:
            yield from _whole(block)


def _whole(packed: bytes) -> list[int]:
    """Whole numbers, seven bits a byte."""
    found, value, shift = [], 0, 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value - (1 << 64) if value >> 63 else value)
            value, shift = 0, 0
    return found


def _checked(name: str, shape: list[int], values: list[float] | list[str]) -> Tensor:
    if len(values) != math.prod(shape):
        raise ValueError(f"{len(values)} values for the shape {shape}")
    return Tensor(name, tuple(shape), values)
