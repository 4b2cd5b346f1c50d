"""Benchmarks on a machine where wheels of peers do not import."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch, tmp_path):
    """Import a benchmark as running it does, with stubs of the peers that raise what they are told to."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.syspath_prepend(tmp_path)

    def load(name, raising):
        for peer, statement in raising.items():
            (tmp_path / f"{peer}.py").write_text(statement)
        for module in (name, "peers", *raising):
            monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield load
    for module in ("masks", "peers"):
        sys.modules.pop(module, None)


def test_a_peer_that_does_not_import_is_one_line_with_its_reason_whatever_it_raises(benchmark):
    peers = benchmark(
        "peers",
        {
            "older": "raise ValueError('numpy.dtype size changed\\nand more')",
            "silent": "raise AttributeError",
            "broken": "raise SystemError('initialization failed')",
            "fine": "",
        },
    )
    assert peers.absent({"old": "older", "quiet": "silent", "bad": "broken", "good": "fine", "none": "nobody"}) == {
        "old": "does not import: ValueError: numpy.dtype size changed",
        "quiet": "does not import: AttributeError",
        "bad": "does not import: SystemError: initialization failed",
        "none": "does not import: ModuleNotFoundError: No module named 'nobody'",
    }


def test_the_benchmark_of_masks_goes_on_without_a_peer_and_prints_why(benchmark, monkeypatch, capsys):
    stubs = {"elasticdeform": "raise ImportError('numpy.core.multiarray failed to import')", "torchio": "raise OSError"}
    masks = benchmark("masks", {**stubs, "sklearn": "raise RuntimeError('built for another NumPy')"})
    monkeypatch.setattr(sys, "argv", ["masks.py", "--quick"])
    monkeypatch.setattr(masks, "ROUNDS", 1)
    few = masks.Phantom(train=12, test=1, size=32)
    monkeypatch.setattr(masks, "Phantom", lambda **options: few)
    rows = {"shapes": {**masks.ROWS["shapes"], "scikit-image": lambda drawn, number: np.ones_like(drawn)}}
    monkeypatch.setattr(masks, "ROWS", {**masks.ROWS, **rows})
    masks.main()
    *table, last = capsys.readouterr().out.splitlines()
    assert table[-3:] == [
        "elasticdeform: does not import: ImportError: numpy.core.multiarray failed to import",
        "torchio: does not import: OSError",
        "scikit-learn: does not import: RuntimeError: built for another NumPy",
    ]
    assert [line.split()[:2] for line in table[1:-3]] == [
        ["shapes", "augkit"],
        ["shapes", "scikit-image"],
        ["elastic", "augkit"],
        ["pca", "augkit"],
    ]
    record = json.loads(last)
    assert list(record["ratios"]) == ["shapes"]
    assert sorted(record["versions"]) == ["augkit", "scikit-image"]


def test_every_part_of_the_gpu_s_benchmark_is_a_program(benchmark):
    gpu = benchmark("gpu", {})
    programs = {file.stem for file in (BENCHMARKS / "on_gpu").glob("*.py")} - {"__init__", "part"}
    assert set(gpu.LIMITS) == programs


def test_what_a_machine_lacks_is_packed_in_the_tested_versions(benchmark):
    pack = benchmark("pack", {})
    assert len(pack.pinned(pack.LACKING)) == len(pack.LACKING)
    assert pack.pinned(("Pydantic_Core",))[0].startswith("pydantic_core==")
