"""Errors that tell a person what to do: where it is, what was found, what is allowed.

Every failure that is not a programming mistake is an `AugkitError` carrying one or more `Problem`s, so that a recipe
with five mistakes reports five lines, not one. `exit_code` is what the command line ends with.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    where: a place a person can go to, such as ``recipe.yaml:12``, a file, or ``--set segmenter.unet.steps``.
    what:  what was found there and what is allowed instead.
    hint:  what to do about it; may be empty.
    """

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f". {self.hint}" if self.hint else "")


_ALIKE = 8
"""Files with the same fault that are named one by one."""


def sum_up(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems of files with those of many files alike as one, which counts them and names the first.

    Problems are alike where the files lie in one folder, and words and hint agree but for numbers, the file's own name
    and what stands in brackets.
    """
    alike: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        path = Path(problem.where)
        what, hint = (_wording(text, path.stem) for text in (problem.what, problem.hint))
        alike.setdefault((str(path.parent), what, hint), []).append(problem)
    summed: list[Problem] = []
    for (folder, _, _), those in alike.items():
        if len(those) <= _ALIKE:
            summed += those
        else:
            what = f"{len(those)} files with one fault, such as {Path(those[0].where).name}: it {those[0].what}"
            summed.append(Problem(folder, what, those[0].hint))
    return summed


def _wording(text: str, name: str) -> str:
    return re.sub(r"\(.*?\)|\d+", "", text.replace(name, ""))


class AugkitError(Exception):
    """A failure explained by `problems`; exit code 1 unless a kind says otherwise."""

    exit_code = 1

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class InputError(AugkitError):
    """A recipe, an option or a data folder is wrong; nothing was written."""

    exit_code = 2


class StageError(AugkitError):
    """A stage failed while running: a plugin raised or broke its contract, or the disk is full."""


class ContractError(StageError):
    """A plugin broke its contract.

    component: its name in recipes; empty for the first component of the stage.
    """

    def __init__(self, *problems: Problem, component: str = "") -> None:
        super().__init__(*problems)
        self.component = component


class SupersededError(StageError):
    """Another process has taken over what this one was building, which ends here; nothing is lost."""


class DamagedArtifactError(AugkitError):
    """A stored file no longer has the bytes that were written."""


class DivergedError(AugkitError):
    """A training produced values that are not finite."""

    exit_code = 4


class InterruptedRunError(AugkitError):
    """The run was stopped by a signal; its state is saved and the same command continues it."""

    exit_code = 130


class DetachedRunError(AugkitError):
    """No failure: the run ended by request while its stages go on elsewhere; the same command follows them."""

    exit_code = 0

    def __init__(self, under_way: int, waiting: int) -> None:
        are = "1 stage is" if under_way == 1 else f"{under_way} stages are"
        later = f"; {waiting} more begin when the same command is given again" if waiting else ""
        super().__init__(Problem("detached", f"{are} under way{later}", "The same command follows them to the report"))


def said_by(error: BaseException) -> str:
    """Return the first line of what an exception says; a plugin's may raise when it is asked."""
    try:
        return str(error).strip().partition("\n")[0]
    except (Exception, SystemExit) as again:
        return f"what it says cannot be had, because that raised {type(again).__name__}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'width'?`` for the nearest known name, or the list of what is allowed."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Allowed: {', '.join(choices)}" if choices else ""


def check_choice(where: str, value: str, allowed: Sequence[str]) -> None:
    """Raise an `InputError` that says what is allowed, unless the value of an option is."""
    if value not in allowed:
        close = difflib.get_close_matches(value, allowed, n=1)
        what = f"found '{value}'; allowed: {', '.join(allowed)}"
        raise InputError(Problem(where, what, f"Did you mean '{close[0]}'?" if close else ""))
