"""The bytes around a code: whose it is, how much of it there must be, and whether it is whole.

One image, 5 bytes before its code:
    tag 2          of the codec
    length 1       bytes of the code, modulo 256: no cut of up to 255 bytes goes unseen
    checksum 2     CRC-16 (CCITT) begun with the codec's digest: no altered byte goes unseen

Many images, 30 bytes before their codes and 4 after:
    magic 4, version 1, digest 8 (of the codec), images 4, height 2, width 2, channels 2 (0 for
    images without), length 7 (bytes of the codes); the codes; CRC-32 of all before
"""

from __future__ import annotations

import binascii
import struct
import zlib

from recae.errors import DataError

MAGIC, VERSION = b"\x8aRci", 1
ROW = struct.Struct(">2sBH")
HEAD = struct.Struct(">4sB8sIHHH")
LENGTH_BYTES = 7
HEAD_BYTES = HEAD.size + LENGTH_BYTES + 4
"""Bytes of a file of many images beside their codes."""


def tag(digest: bytes) -> bytes:
    """Two bytes that name a codec; never the ones with which a file of many images begins."""
    pairs = (digest[i : i + 2] for i in range(0, len(digest), 2))
    return next(pair for pair in pairs if pair != MAGIC[:2])


def wrap_row(content: bytes, digest: bytes) -> bytes:
    """The code of one image with what tells whose it is and whether it is whole."""
    return ROW.pack(tag(digest), len(content) % 256, _check(content, digest)) + content


def unwrap_row(wrapped: bytes, digest: bytes) -> bytes:
    """The code inside. Raises DataError for what is cut short, altered, or of another codec."""
    if len(wrapped) < ROW.size:
        raise DataError(
            f"{len(wrapped)} bytes are no compressed image: the shortest have {ROW.size}; "
            "compress the image again"
        )
    found, length, check = ROW.unpack_from(wrapped)
    content = wrapped[ROW.size :]
    if found != tag(digest):
        raise DataError(
            f"not a compressed image of this codec: it begins with {found.hex()}, and what this "
            f"codec writes with {tag(digest).hex()}; read it with the codec that wrote it"
        )
    if length != len(content) % 256 or check != _check(content, digest):
        raise DataError(
            "this compressed image is not what was written: cut short, lengthened or altered; "
            "compress the image again"
        )
    return content


def wrap_rows(content: bytes, images: int, shape: tuple[int, ...], digest: bytes) -> bytes:
    """The codes of many images of one shape as the content of a file."""
    channels = shape[2] if len(shape) == 3 else 0
    head = HEAD.pack(MAGIC, VERSION, digest[:8], images, shape[0], shape[1], channels)
    whole = head + len(content).to_bytes(LENGTH_BYTES, "big") + content
    return whole + zlib.crc32(whole).to_bytes(4, "big")


def unwrap_rows(wrapped: bytes, shape: tuple[int, ...], digest: bytes) -> tuple[bytes, int]:
    """The codes inside and how many images they are.

    Raises DataError for what is cut short, altered, of another version or of another codec.
    """
    if len(wrapped) < HEAD_BYTES:
        raise _damaged(f"it has {len(wrapped)} bytes, of {HEAD_BYTES} at least")
    _, version, owner, images, height, width, channels = HEAD.unpack_from(wrapped)
    if version != VERSION:
        raise DataError(
            f"a file of compressed images of version {version}; this recae reads version {VERSION}:"
            " read it with the recae that wrote it"
        )
    length = int.from_bytes(wrapped[HEAD.size : HEAD.size + LENGTH_BYTES], "big")
    if len(wrapped) != HEAD_BYTES + length:
        raise _damaged(f"it has {len(wrapped)} bytes, not {HEAD_BYTES + length}")
    if zlib.crc32(wrapped[:-4]) != int.from_bytes(wrapped[-4:], "big"):
        raise _damaged("its checksum is another one")
    if owner != digest[:8]:
        raise DataError(
            f"written by the codec {owner.hex()}; this one is {digest[:8].hex()}: read it with the "
            "codec that wrote it"
        )
    if (height, width, channels) != (*shape, 0)[:3]:
        raise _damaged(f"its images are {height} x {width} x {channels}")
    return wrapped[HEAD.size + LENGTH_BYTES : -4], images


def _check(content: bytes, digest: bytes) -> int:
    return binascii.crc_hqx(content, binascii.crc_hqx(digest, 0))


def _damaged(reason: str) -> DataError:
    return DataError(
        f"this file of compressed images is not what was written: {reason}; write it again"
    )
