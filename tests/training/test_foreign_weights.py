"""Files of weights that somebody else gives us: each is read, or refused in a sentence, before it takes memory."""

import io
import json
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save

from augkit.errors import InputError
from augkit.training import weights
from augkit.training.weights import read_bytes, read_tensors


def saved(value, **how):
    stream = io.BytesIO()
    torch.save(value, stream, **how)
    return stream.getvalue()


def packed(data):
    """The archive of torch.save with compressed members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for member in given.infolist():
            made.writestr(member.filename, given.read(member.filename))
    return stream.getvalue()


def headed(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


COMPLEX = {"w": torch.zeros(2, dtype=torch.complex64)}

# fmt: off
REFUSED = {
    "a view that is larger than its storage": (
        "pth", lambda: saved({"w": torch.zeros(1).expand(10**9)}), "has tensors of more bytes than the file"
    ),
    "an archive that unpacks to much more": (
        "pth", lambda: packed(saved({"w": torch.zeros(10**6)})), r"unpacks to 4\.0 MB from 0\.00\d MB"
    ),
    "complex numbers": (
        "pth", lambda: saved(COMPLEX), r"w is complex64 \(2,\); allowed: float"
    ),
    "complex safetensors": (
        "safetensors", lambda: save(COMPLEX), r"w is complex64 \(2,\); allowed"
    ),
    "float8": (
        "safetensors", lambda: save({"w": torch.zeros(2).to(torch.float8_e4m3fn)}), "w is float8_e4m3fn"
    ),
    "whole numbers": ("safetensors", lambda: save({"w": torch.zeros(2, dtype=torch.int64)}), "w is int64"),
    "a sparse tensor": (
        "pth", lambda: saved({"w": torch.eye(2).to_sparse_coo()}), "w is sparse_coo on cpu; allowed: plain tensors"
    ),
    "a tensor without numbers": (
        "pth", lambda: saved({"w": torch.zeros(2, device="meta")}), "w is strided on meta; allowed: plain tensors"
    ),
    "a list": ("pth", lambda: saved([torch.zeros(1)]), "holds a list with other things than tensors"),
    "a header of nine exabytes": ("safetensors", lambda: struct.pack("<Q", 2**63) + b"{}", "was not loaded"),
    "a header that is no JSON": ("safetensors", lambda: struct.pack("<Q", 4) + b"what", "was not loaded"),
    "offsets behind the end": (
        "safetensors",
        lambda: headed({"w": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}}, b"1234"),
        "was not loaded",
    ),
    "a shape that overflows": (
        "safetensors",
        lambda: headed({"w": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"1234"),
        "was not loaded",
    ),
    "an unknown type": (
        "safetensors", lambda: headed({"w": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}}, b"1234"), "not load"
    ),
    "nothing": ("pth", lambda: b"", "was not loaded"),
}
# fmt: on


@pytest.mark.filterwarnings("ignore:TypedStorage", "ignore:Sparse")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_plain_state_dict_is_refused_in_a_sentence(case, tmp_path):
    ending, data, said = REFUSED[case]
    with pytest.raises(InputError, match=said):
        read_tensors(data(), tmp_path / f"weights.{ending}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floating_point_numbers_become_float32_and_counters_stay(dtype, tmp_path):
    given = {"w": torch.ones(2, dtype=dtype), "num_batches_tracked": torch.tensor(3)}
    for data, name in ((saved(given), "w.pth"), (save(given), "w.safetensors")):
        found = read_tensors(data, tmp_path / name)
        assert found["w"].dtype == torch.float32
        assert found["num_batches_tracked"] == 3


def test_a_file_that_is_too_large_or_cannot_be_read_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MOST_BYTES", 10**9)
    file = tmp_path / "large.pth"
    with file.open("wb") as stream:
        stream.truncate(2 * 10**9)  # a hole, which takes no room
    with pytest.raises(InputError, match=r"has 2\.0 GB; allowed: 1 GB"):
        read_bytes(file)
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_bytes(tmp_path)
