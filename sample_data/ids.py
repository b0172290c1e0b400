"""Names that look random, are the same on every run and never collide.

Numbers are mixed by a bijection (odd multiplications and shifted exclusive-ors, both invertible
modulo a power of two), so that distinct decisions get distinct ids at any scale.
"""

from __future__ import annotations

import hashlib
import uuid

import numpy as np
from numpy.typing import NDArray

from .plan import SHOWCASE_ID

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://example.org/decision-forensics/sample_data")
_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)


def sha256(data: bytes) -> str:
    """The digest as records name it: ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def run_uuid(*parts: object) -> str:
    """A UUID that depends on nothing but its parts."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(map(str, parts))))


def mixed(numbers: NDArray[np.int64], bits: int, salt: int = 0) -> NDArray[np.uint64]:
    """A bijection of ``0 … 2**bits - 1``; ``salt`` picks which."""
    mask = np.uint64((1 << bits) - 1)
    value = (numbers.astype(np.uint64) + np.uint64(salt * 2654435761 & 0xFFFFFFFF)) & mask
    for odd in _ODD:
        value = (value * np.uint64(odd & ((1 << bits) - 1) | 1)) & mask
        value ^= value >> np.uint64(bits // 2)
    return value


def request_bits(total: int) -> int:
    """How many bits a request id needs so that half the space stays free: 24 or 32."""
    return 24 if total < 1 << 23 else 32


def request_numbers(index: NDArray[np.int64], total: int, seed: int) -> NDArray[np.uint64]:
    """The number behind each request id.

    The id of the documentation's decision is kept free: the last number of the space, which no
    index reaches, is made to be the one that maps to it.
    """
    bits = request_bits(total)
    last = mixed(np.array([(1 << bits) - 1]), bits, seed)[0]
    found: NDArray[np.uint64] = mixed(index, bits, seed) ^ last ^ np.uint64(showcase_number(total))
    return found


def showcase_number(total: int) -> int:
    """The number of ``7f3a-c1`` (or of ``7f3a-c100`` where ids are longer)."""
    return SHOWCASE_ID << (request_bits(total) - 24)


def request_id(number: int, total: int) -> str:
    """The id as people see it: ``7f3a-c1``."""
    text = f"{number:0{request_bits(total) // 4}x}"
    return f"{text[:4]}-{text[4:]}"


def subject_numbers(client: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """The pseudonym of each client, 16 bits."""
    return mixed(client, 16, seed + 1)
