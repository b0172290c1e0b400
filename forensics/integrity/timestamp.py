"""RFC 3161 timestamps: the request for one, and which digest a reply is about.

Whether a reply is signed by a time-stamping authority that one trusts is for a program that knows
certificates: ``openssl ts -verify``.
"""

from __future__ import annotations

from hashlib import sha256

from forensics.errors import IntegrityError

CONTENT_TYPE = "application/timestamp-query"
_SHA256 = bytes.fromhex("300d06096086480165030402010500")
_GRANTED = (bytes.fromhex("020100"), bytes.fromhex("020101"))


def query(data: bytes, nonce: int) -> bytes:
    """A DER TimeStampReq for the SHA-256 of ``data`` that asks for the certificate too."""
    imprint = _tagged(0x30, _SHA256 + _tagged(0x04, sha256(data).digest()))
    number = nonce.to_bytes(nonce.bit_length() // 8 + 1, "big")  # no zeros more than needed
    return _tagged(0x30, b"\x02\x01\x01" + imprint + _tagged(0x02, number) + b"\x01\x01\xff")


def check(reply: bytes, data: bytes) -> None:
    """Check that ``reply`` grants a timestamp of ``data``; not who signed it.

    Raises:
        IntegrityError: when it does not.
    """
    body = _content(reply)
    status = _content(body)
    if not status.startswith(_GRANTED):
        raise IntegrityError("The time-stamping authority refused.", "", "Ask another one.")
    if _SHA256 + _tagged(0x04, sha256(data).digest()) not in reply:
        raise IntegrityError("The timestamp is of something else.", "", "Ask for another one.")


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _content(data: bytes) -> bytes:
    """What a DER sequence holds."""
    if len(data) < 2 or data[0] != 0x30:
        raise IntegrityError("The reply is no timestamp.")
    size, at = data[1], 2
    if size & 0x80:
        at += size & 0x7F
        size = int.from_bytes(data[2:at], "big")
    if at + size > len(data):
        raise IntegrityError("The reply breaks off.")
    return data[at : at + size]
