"""Runs that may not have the memory that they want: a limit on the address space, somewhere below what is needed."""

from __future__ import annotations

import re
import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from faults.runs import Tiny, difference, end_of, last_line

MEGABYTE = 2**20
WANTS = (
    "--set=dataset.phantom={train: 32, test: 2, size: 128}",
    "--set=segmenter.unet={width: 16, steps: 2, batch_size: 32}",
)
"""A training whose activations take about a gigabyte."""
TOLD = r"(generator|segmenter|synthesis|dataset).*memory (is used up in|may be used up: )"
LEAST, MOST = 300, 600
"""Megabytes beyond what a process has when it begins."""


def attempts(quick: bool) -> Iterator[str]:
    """20 limits, 3 if quick: a run ends with a sentence that names what took memory; without the limit it goes on."""
    with tempfile.TemporaryDirectory() as name:
        tiny = Tiny(Path(name))
        reference = tiny.reference(*WANTS)
        for megabytes in np.linspace(LEAST, MOST, 3 if quick else 20):
            yield too_little(tiny, int(megabytes), reference)


def too_little(tiny: Tiny, megabytes: int, reference: dict[str, str]) -> str:
    """Run with so many megabytes more than a process has when it begins; return what was wrong."""
    store = tiny.folder / f"runs-{megabytes}"
    log = tiny.log(store)
    code = end_of(tiny.start(store, "--quiet", *WANTS, prepare=limited(megabytes)))
    said = log.read_text()
    if code == 0:
        return f"{megabytes} MB: it was enough"
    if code != 1 or "Traceback" in said or not re.search(TOLD, said):
        return f"{megabytes} MB: exit code {code}: {last_line(log)}"
    return tiny.finish(store, *WANTS) or difference(store, reference)


def limited(megabytes: int) -> Callable[[], None]:
    """Return what limits the memory of a process to so much more than it has."""

    def prepare() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + megabytes * MEGABYTE
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    return prepare
