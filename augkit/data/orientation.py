"""Which way up an image file says that it is: its EXIF orientation, told without decoding its pixels."""

from __future__ import annotations

import struct
from os import SEEK_CUR
from typing import BinaryIO

from PIL import ExifTags, Image, TiffImagePlugin
from PIL.ImageFile import ImageFile

UPRIGHT = 1
"""The orientation of an image that is shown as it is stored; 2 to 8 mirror or turn it."""

QUARTER = 5
"""From this orientation on width and height change places."""

_MAY_ORIENT = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
"""Chunks of a PNG that may hold an orientation: EXIF, XMP, or EXIF in text as ImageMagick writes it."""


def orientation_of(image: ImageFile, file: BinaryIO) -> int:
    """Return the orientation, 1 to 8, by which reading turns an opened image; from EXIF, else from XMP.

    A PNG may tell it behind its pixels. Only one with something there is decoded.
    """
    if image.format == "PNG" and _tells_more_behind_pixels(file):
        image.load()
    found = Image.Image.getexif(image).get(ExifTags.Base.Orientation)  # a PNG's own method always decodes
    return found if isinstance(found, int) and found in range(UPRIGHT, 9) else UPRIGHT


def upright_size(image: ImageFile, orientation: int) -> tuple[int, int]:
    """Return width and height of an opened image when it is turned upright."""
    width, height = image.size
    known = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(ExifTags.Base.Orientation)
    swapped = orientation >= QUARTER and known != orientation  # the size of a TIFF is that by its own tag
    return (height, width) if swapped else (width, height)


def _tells_more_behind_pixels(file: BinaryIO) -> bool:
    start = file.tell()
    file.seek(8)
    behind = found = False
    while not found and len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        behind = behind or kind == b"IDAT"
        found = behind and kind in _MAY_ORIENT
        file.seek(length + 4, SEEK_CUR)
    file.seek(start)
    return found
