"""Asking a component in a process that knows nothing of its fit: ``python -m ...conformance.fresh REQUEST``."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from augkit.authors.conformance.bench import Bench, UnansweredError
from augkit.contracts.registry import Entry, Provider
from augkit.contracts.rules import BreachError
from augkit.data.draws import Draws
from augkit.errors import Problem
from augkit.planning.options import build_component, canonical
from augkit.planning.recipe import Reference
from augkit.store import read_array, read_json, write_array, write_json


def ask_fresh_process(bench: Bench, fitted: Path, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return what the component, opened from the folder `fitted` in a new process, makes of `arrays`."""
    cls = type(bench.component)
    if "<" in cls.__qualname__:
        raise BreachError(f"is defined inside a function ({cls.__qualname__})", "define it at the top of a module")
    folder = bench.space("fresh").folder
    for name, array in arrays.items():
        write_array(folder / f"{name}.npy", array)
    place = {
        "module": cls.__module__,
        "file": getattr(sys.modules[cls.__module__], "__file__", None),
        "class": cls.__qualname__,
    }
    options = canonical(bench.component)
    write_json(folder / "request.json", {**place, "options": options, "fitted": str(fitted), "arrays": list(arrays)})
    return bench.once("opening in a fresh process", lambda: _ask(folder, bench.seconds), folder)


def _ask(folder: Path, seconds: float) -> NDArray[Any]:
    done = subprocess.run(
        [sys.executable, "-m", "augkit.authors.conformance.fresh", str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=2 * seconds + 60,  # the interpreter and torch have to start
        check=False,
    )
    if done.returncode != 0 or not (folder / "answer.npy").is_file():
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"another process could not open it and said: {said}")
    if done.stdout:
        raise UnansweredError(f"it printed '{done.stdout.strip()[:40]}' in a fresh process; see prints_nothing")
    return np.array(read_array(folder / "answer.npy"))


def answer(folder: Path) -> None:
    """Do what the request in `folder` asks for and leave ``answer.npy`` there."""
    request = read_json(folder / "request.json")
    cls: Any = _module(request["module"], request["file"])
    for name in request["class"].split("."):
        cls = getattr(cls, name)
    problems: list[Problem] = []
    entry = Entry("component", cls.__name__, cls, Provider("", "", ""))
    component = build_component(entry, Reference(cls.__name__, request["options"], "options", {}), problems)
    if component is None:
        raise ValueError("; ".join(map(str, problems)))
    opened = component.open(Path(request["fitted"]), "cpu")
    arrays = [np.array(read_array(folder / f"{name}.npy")) for name in request["arrays"]]
    if request["arrays"][-1] == "keys":
        arrays[-1] = Draws(arrays[-1])  # type: ignore[call-overload]
    write_array(folder / "answer.npy", opened(*arrays))


def _module(name: str, file: str | None) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location(name, file) if file else None
        if spec is None or spec.loader is None:
            raise
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module


if __name__ == "__main__":
    answer(Path(sys.argv[1]))
