"""Arrays in several files read as one."""

import subprocess
import sys

import numpy as np
import pytest

from augkit import ImageSet
from augkit.data.joined import Joined, join
from augkit.store import read_array, write_array
from samples import lesions


@pytest.fixture
def whole():
    return np.arange(10 * 4 * 3, dtype=np.int16).reshape(10, 4, 3)


@pytest.fixture
def joined(whole, tmp_path):
    for begin, end in ((0, 4), (4, 8), (8, 10)):
        write_array(tmp_path / f"{begin}.npy", whole[begin:end])
    return Joined([read_array(tmp_path / f"{begin}.npy") for begin in (0, 4, 8)])


@pytest.mark.parametrize(
    "index",
    [
        0, 9, -1, np.int64(5), slice(None), slice(3, 9, 2), slice(8, 2, -1), [7, 0, 7], [], np.array([-10, 9]),
        np.arange(10) % 3 == 1, (slice(2, 6), 1), (5, 2), (slice(None), None),
    ],
    ids=str,
)  # fmt: skip
def test_an_index_gives_what_it_gives_of_the_whole_array(joined, whole, index):
    assert np.array_equal(joined[index], whole[index])
    assert joined[index].dtype == whole.dtype


def test_chosen_rows_are_indexed_as_an_array_of_them_is(joined, whole):
    chosen = np.array([9, 3, 3, 0])
    assert np.array_equal(joined.rows(chosen)[[0, 2]], whole[chosen][[0, 2]])
    assert np.array_equal(joined.rows(chosen).rows(np.array([1, 3]))[:], whole[chosen][[1, 3]])


def test_it_has_the_shape_of_the_whole_and_is_read_whole_only_where_asked(joined, whole):
    assert (joined.shape, joined.dtype, joined.ndim, joined.nbytes, len(joined)) == ((10, 4, 3), "int16", 3, 240, 10)
    assert np.array_equal(np.asarray(joined), whole)
    assert np.array_equal(list(joined), list(whole))


@pytest.mark.parametrize("index", [10, -11, [0, 10], 0.5, ["a"]], ids=str)
def test_an_index_that_is_none_is_refused(joined, index):
    with pytest.raises(IndexError, match="allowed: "):
        joined[index]


def test_what_it_cannot_do_is_told_with_what_it_can(joined):
    with pytest.raises(AttributeError, match=r"have no 'mean'; index it, as in images\[begin:end\], or read all of it"):
        joined.mean()


def test_unlike_arrays_are_not_joined(whole):
    with pytest.raises(ValueError, match=r"found int16 \(4, 3\), float64 \(4, 3\); allowed: one or more arrays of one"):
        Joined([whole, whole.astype(float)])


def test_arrays_in_memory_are_joined_there_and_stay_where_they_are_beside_one_in_shards(joined, whole):
    assert isinstance(join([whole, whole], in_memory=True), np.ndarray)
    both = join([whole, joined], in_memory=True)
    assert isinstance(both, Joined)
    assert np.array_equal(both[[3, 13]], whole[[3, 3]])


def test_samples_taken_of_a_set_in_shards_are_those_of_the_set():
    samples = lesions(6)
    sharded = ImageSet.concatenate([samples.part(slice(0, 4)), samples.part(slice(4, 6))], in_memory=False)
    assert sharded.ids == samples.ids
    for one, other in (
        (sharded.take([5, 1]), samples.take([5, 1])),
        (sharded.part(slice(2, 5)), samples.part(slice(2, 5))),
    ):
        assert isinstance(one.images, Joined)
        assert np.array_equal(one.images[:], other.images)
        assert np.array_equal(one.masks[:], other.masks)
        assert np.array_equal(one.labels[:], other.labels)


READ = """
import sys
from pathlib import Path
import numpy as np
from augkit.data.joined import Joined
from augkit.store import read_array

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

whole = Joined([read_array(file) for file in sorted(Path(sys.argv[1]).glob("*.npy"))])
before, seen = resident(), 0
for batch in np.random.Generator(np.random.Philox(1)).permutation(len(whole)).reshape(-1, 64):
    seen += int(whole[batch].sum())
print(resident() - before, seen)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory of a process")
def test_reading_all_of_it_here_and_there_keeps_none_of_it_in_memory(tmp_path):
    for place in range(4):
        write_array(tmp_path / f"{place}.npy", np.ones((256, 64, 1024), np.uint8))
    script = tmp_path / "read.py"
    script.write_text(READ)
    found = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=True)
    grown, seen = map(int, found.stdout.split())
    assert seen == 4 * 256 * 64 * 1024
    assert grown < 20e6, "of 67 MB"
