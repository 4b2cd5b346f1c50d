"""Files of which a part is missing, which decoders show with grey or black in its place."""

import io
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from augkit.data import reading
from augkit.data.reading import read_image, read_mask, room_for
from augkit.errors import InputError


def pixels(height=40, width=50):
    return np.random.Generator(np.random.Philox(1)).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(kind, **how):
    stream = io.BytesIO()
    Image.fromarray(pixels()).save(stream, kind, **how)
    return stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(rows, height=40, width=50, interlace=0):
    """An RGB PNG that says it has `height` rows and holds only some."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlace)
    packed = zlib.compress(bytes(rows * (1 + 3 * width)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def interlaced(missing=0):
    """An interlaced RGB PNG of 5 x 3 pixels: its passes have 1, 1, 0, 2, 2, 3 and 5 pixels... as Adam7 says."""
    size = sum(
        rows * (1 + 3 * columns) for rows, columns in ((1, 1), (1, 1), (0, 2), (1, 1), (1, 3), (2, 2), (1, 5)) if rows
    )
    header = struct.pack(">IIBBBBB", 5, 3, 8, 2, 0, 0, 1)
    packed = zlib.compress(bytes(size - missing))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def wrong_checksum():
    data = bytearray(encoded("PNG"))
    data[data.index(b"IDAT") + 4 + struct.unpack(">I", data[data.index(b"IDAT") - 4 : data.index(b"IDAT")])[0]] ^= 1
    return bytes(data)


DAMAGED = {
    "png with missing rows": (png(30), "is damaged: 25% of its pixels are missing"),
    "png without its end": (encoded("PNG")[:-12], "is damaged: its end is missing"),
    "png cut in half": (encoded("PNG")[: len(encoded("PNG")) // 2], "is damaged: its chunk IDAT is cut off"),
    "png with a wrong checksum": (wrong_checksum(), "is damaged: the checksum of its chunk IDAT is wrong"),
    "interlaced png without its last bytes": (interlaced(missing=4), ".* of its pixels are missing"),
    "jpg cut in half": (encoded("JPEG")[: len(encoded("JPEG")) // 2], "is damaged: the end of the image is missing"),
    "jpg without its end": (encoded("JPEG")[:-2], "is damaged: the end of the image is missing"),
    "progressive jpg": (encoded("JPEG", progressive=True)[:-40], "is damaged: the end of the image is missing"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_part_of_an_image_is_refused_by_name(case, tmp_path):
    data, said = DAMAGED[case]
    file = tmp_path / f"case.{case.split()[0] if case[0] != 'i' and case[:4] != 'prog' else 'png'}"
    file.write_bytes(data)
    for read in (read_image, lambda path: read_mask(path, threshold=128)):
        with pytest.raises(InputError, match=f"{file.name}: {said}"):
            read(file)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_whole_png_files_of_every_mode_are_read(mode, tmp_path):
    image = Image.fromarray(pixels()).convert("RGB").convert("L" if mode == "LA" else mode)
    image.convert(mode).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (40, 50, 3)


def test_interlaced_png_and_progressive_jpeg_with_something_behind_them_are_read(tmp_path):
    (tmp_path / "a.png").write_bytes(interlaced())
    (tmp_path / "a.jpg").write_bytes(encoded("JPEG", progressive=True) + b"maker's notes")
    assert read_image(tmp_path / "a.png").shape == (3, 5, 3)
    assert read_image(tmp_path / "a.jpg").shape == (40, 50, 3)


def test_no_flipped_bit_of_a_png_is_used(tmp_path):
    whole, file = encoded("PNG"), tmp_path / "a.png"
    numbers = np.random.Generator(np.random.Philox(2))
    for place in numbers.integers(0, 8 * len(whole), 200):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(InputError):
            read_image(file)


def test_threads_decode_no_more_pixels_at_once_than_one_image_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_room", reading._Room(4500))
    file, inside, most = tmp_path / "a.png", [], []
    file.write_bytes(encoded("PNG"))  # 2000 pixels

    def decode():
        with room_for(file):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=decode) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 2
    with room_for(tmp_path / "missing.png"):
        pass
