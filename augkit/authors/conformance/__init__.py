"""What a component has to do, as checks that anybody can run: the pytest classes, ``augkit plugin check``, a notebook.

A check is a function of a bench, which calls the component on toy data as a run would. It raises `BreachError`, whose
text speaks to the author, or `UnansweredError` where an earlier check says why there is nothing to look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from augkit.authors.conformance import augmentation, dataset, generator, mask_source, segmenter
from augkit.authors.conformance.bench import (
    Bench,
    Check,
    UnansweredError,
    options_are_readable,
    sizes_are_refused_in_words,
)
from augkit.authors.conformance.training import fits_again, resumes
from augkit.contracts.rules import BreachError
from augkit.errors import said_by


@dataclass(frozen=True)
class Kit:
    """What tries the components of one kind, and its checks, in the order in which they explain each other."""

    bench: type[Bench]
    checks: Sequence[Check]


KITS: Mapping[str, Kit] = {
    "generator": Kit(generator.GeneratorBench, generator.CHECKS),
    "mask source": Kit(mask_source.MaskSourceBench, mask_source.CHECKS),
    "augmentation": Kit(augmentation.AugmentationBench, augmentation.CHECKS),
    "segmenter": Kit(segmenter.SegmenterBench, segmenter.CHECKS),
    "dataset": Kit(dataset.DatasetBench, dataset.CHECKS),
}
"""Component kind -> its kit."""


@dataclass(frozen=True)
class Finding:
    """What a check found: ``ok``, ``failed`` with what to do about it, or ``skipped`` with the reason."""

    check: str
    state: Literal["ok", "failed", "skipped"]
    text: str = ""


ONCE: Sequence[Check] = (
    options_are_readable,
    sizes_are_refused_in_words,
    fits_again,
    resumes,
    generator.opens_in_a_fresh_process,
    segmenter.takes_sets_in_shards,
    segmenter.opens_in_a_fresh_process,
)
"""Checks that are made with one format only: others would tell nothing new, and a fit takes its time."""


def try_check(check: Check, bench: Bench, every_format: bool = True) -> Finding:
    """Return what one check finds with the first format that the component takes or, if asked, with any of them."""
    found = _find(check, bench)
    for other in bench.others if every_format and check not in ONCE else ():
        if found.state == "failed":
            break
        more = _find(check, other)
        if more.state == "failed":
            found = replace(more, text=f"{more.text}; given {other.format}")
        elif more.state == "ok":
            found = more
    return found


def _find(check: Check, bench: Bench) -> Finding:
    try:
        check(bench)
    except BreachError as breach:
        return Finding(check.__name__, "failed", breach.told(f"your {bench.noun}"))
    except UnansweredError as reason:
        return Finding(check.__name__, "skipped", str(reason))
    except Exception as error:  # the answer may be anything, and the other checks are to be told as well
        said = f"{type(error).__name__}: {said_by(error)}"
        what = f"your {bench.noun} returned something that this check cannot read ({said}); see the other checks"
        return Finding(check.__name__, "failed", what)
    return Finding(check.__name__, "ok")


def try_component(kind: str, component: Any, folder: Path, seconds: float = 240.0) -> Iterator[Finding]:
    """Yield what every check of its kind finds about a component, which may write in `folder`.

    seconds: after which a single call counts as hanging.
    """
    bench = KITS[kind].bench(component, folder, seconds)
    for check in KITS[kind].checks:
        yield try_check(check, bench)


def describe_check(check: Check) -> str:
    """Return what a check demands: the first line of its docstring."""
    return (check.__doc__ or "").strip().split("\n")[0]
