"""Whether a PNG or JPEG file is whole: what decoders forgive, so that grey stands where pixels are missing.

A PNG tells its own checksums and how many rows it should have (ISO/IEC 15948, 5.3 and 8); a JPEG that its last scan is
followed by an end (ITU-T T.81, B.1.1.3).
"""

from __future__ import annotations

import mmap
import zlib
from typing import BinaryIO

_SIGNATURE = 8
_PIECE = 1 << 20
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Numbers per pixel, by the colour type of a PNG."""

_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, and steps of rows and columns of each pass of an interlaced PNG."""


def damage_of(kind: str, file: BinaryIO) -> str:
    """Return what a file of this format lacks, in words; nothing where it is whole, or of a format not looked at."""
    if kind not in ("PNG", "JPEG"):
        return ""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _damage_of_png(data) if kind == "PNG" else _damage_of_jpeg(data)


def _damage_of_jpeg(data: mmap.mmap) -> str:
    end, scan = data.rfind(b"\xff\xd9"), data.rfind(b"\xff\xda")
    return "" if end > scan >= 0 else "the end of the image is missing"


def _damage_of_png(data: mmap.mmap) -> str:
    place, header, pixels = _SIGNATURE, b"", _Pixels()
    while True:
        if place + 12 > len(data):
            return "its end is missing"
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        end = place + 8 + length
        if end + 4 > len(data):
            return f"its chunk {kind.decode('latin1')} is cut off"
        if _checksum(data, place + 4, end) != int.from_bytes(data[end : end + 4]):
            return f"the checksum of its chunk {kind.decode('latin1')} is wrong"
        if kind == b"IHDR":
            header = data[place + 8 : end]
        elif kind == b"IDAT":
            pixels.add(data, place + 8, end)
        elif kind == b"IEND":
            break
        place = end + 4
    wanted = _bytes_of_rows(header)
    return "" if pixels.found >= wanted else f"{1 - pixels.found / wanted:.0%} of its pixels are missing"


def _checksum(data: mmap.mmap, begin: int, end: int) -> int:
    found = 0
    for place in range(begin, end, _PIECE):
        found = zlib.crc32(data[place : min(place + _PIECE, end)], found)
    return found


class _Pixels:
    """Counts the bytes that the chunks of pixels unpack to, a piece at a time."""

    def __init__(self) -> None:
        self.found = 0
        self._unpacker = zlib.decompressobj()

    def add(self, data: mmap.mmap, begin: int, end: int) -> None:
        for place in range(begin, end, _PIECE):
            rest = data[place : min(place + _PIECE, end)]
            while rest and not self._unpacker.eof:
                self.found += len(self._unpacker.decompress(rest, _PIECE))
                rest = self._unpacker.unconsumed_tail


def _bytes_of_rows(header: bytes) -> int:
    """Return how many bytes the rows of a PNG have, unpacked, each with the byte that names its filter."""
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    bits = header[8] * _CHANNELS[header[9]]
    passes = _ADAM7 if header[12] else ((0, 0, 1, 1),)
    total = 0
    for row, column, down, across in passes:
        rows, columns = -(-(height - row) // down), -(-(width - column) // across)
        total += rows * (1 + (columns * bits + 7) // 8) if rows > 0 and columns > 0 else 0
    return total
