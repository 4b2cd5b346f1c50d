"""Weights trained elsewhere become a folder that recipes use; whatever does not fit is refused and leaves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from augkit.contracts.components import Synthesizer, Workspace
from augkit.contracts.registry import Entry, Provider, Registry
from augkit.data.arrays import ImageSet
from augkit.errors import InputError, Problem
from augkit.sharing.weights import import_weights
from augkit.store import find_damage


@dataclass(frozen=True)
class Plain:
    def fit(self, train: ImageSet, space: Workspace) -> None:
        raise NotImplementedError

    def open(self, folder: Path, device: str) -> Synthesizer:
        raise NotImplementedError


@dataclass(frozen=True)
class Importer(Plain):
    weights: Path | None = None

    @staticmethod
    def import_weights(file: Path, folder: Path) -> Sequence[str]:
        folder.mkdir()
        (folder / "own.bin").write_bytes(file.read_bytes())
        if file.read_bytes() == b"bad":
            raise InputError(Problem(str(file), "holds no generator"))
        return ["uses one byte"]


@dataclass(frozen=True)
class Preset(Importer):
    pass


def registry(**classes: type[Plain]) -> Registry:
    provider = Provider("plug", "augkit-plug", "1.0")
    entries = {("generator", name): Entry("generator", name, cls, provider) for name, cls in classes.items()}
    return Registry(entries, ())


USUAL = registry(plain=Plain, importer=Importer, preset=Preset)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "latest_net_G.pth"
    path.write_bytes(b"1")
    return path


def test_the_only_generator_that_imports_weights_reads_the_file(file, tmp_path):
    sentences = import_weights(file, tmp_path / "out", None, USUAL)
    assert sentences == ["uses one byte", f"In a recipe: generator: {{importer: {{weights: {tmp_path / 'out'}}}}}"]
    assert (tmp_path / "out" / "own.bin").read_bytes() == b"1"


def test_the_folder_is_sealed_so_that_damage_is_found(file, tmp_path):
    import_weights(file, tmp_path / "out", None, USUAL)
    assert find_damage(tmp_path / "out") == []
    (tmp_path / "out" / "own.bin").write_bytes(b"2")
    assert find_damage(tmp_path / "out") != []


def test_a_refused_file_leaves_nothing_behind(file, tmp_path):
    file.write_bytes(b"bad")
    with pytest.raises(InputError, match="holds no generator"):
        import_weights(file, tmp_path / "out", None, USUAL)
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_holds_something_is_left_alone(file, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out: exists and is not an empty folder. Choose another one with --to"):
        import_weights(file, tmp_path / "out", None, USUAL)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.pth: is not a file. Give a file of weights"):
        import_weights(tmp_path / "none.pth", tmp_path / "out", None, USUAL)


def test_a_preset_can_be_asked_for_by_name(file, tmp_path):
    assert "{preset: {weights:" in import_weights(file, tmp_path / "out", "preset", USUAL)[-1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plain", "generator 'plain' does not import weights; allowed: importer, preset"),
        ("importr", "no generator is called 'importr'. Did you mean 'importer'?"),
    ],
)
def test_a_generator_that_cannot_is_refused_with_those_that_can(name, said, file, tmp_path):
    with pytest.raises(InputError) as caught:
        import_weights(file, tmp_path / "out", name, USUAL)
    assert said in str(caught.value)


def test_two_generators_that_could_read_it_have_to_be_told_apart(file, tmp_path):
    @dataclass(frozen=True)
    class Other(Plain):
        @staticmethod
        def import_weights(file: Path, folder: Path) -> Sequence[str]:
            return []

    with pytest.raises(InputError, match="--generator: is needed to say which generator reads the file; allowed: im"):
        import_weights(file, tmp_path / "out", None, registry(importer=Importer, other=Other))
