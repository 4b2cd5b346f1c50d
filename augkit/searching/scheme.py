"""On which images a search races, and on which others it confirms."""

from __future__ import annotations

from dataclasses import dataclass, replace

from augkit.data.folds import ALL, DEVELOPMENT
from augkit.errors import InputError, Problem
from augkit.planning.components import CheckedRecipe
from augkit.planning.divisions import Folds
from augkit.planning.document import Value
from augkit.report.verdict.comparison import LEAST_IMAGES

FOLDS = 5

RACING, CONFIRMING = (0, 1, 2), (3, 4)
"""Folds of a data set without a test split of its own that is large enough."""

FIRST_RACING_SEED = 1000
"""Trainings of the race begin here, so that a confirmation with seeds from 0 on has none of them."""

LEAST_DRAWN = 150
"""Groups from which on a part is drawn to confirm on; below, folds are, which leaves more to train on."""


@dataclass(frozen=True)
class Scheme:
    """How the groups of a data set are used.

    of:         `DEVELOPMENT`, where the race leaves the test split alone and the confirmation is on it, or `ALL`.
    racing:     the folds of the race.
    confirming: those of the confirmation; none where it is on the test split.
    """

    of: str
    racing: tuple[int, ...]
    confirming: tuple[int, ...]

    def block(self, entry: CheckedRecipe, place: int) -> tuple[CheckedRecipe, int]:
        """Return a candidate's recipe for a block of the race, 0 for the first, and the seed."""
        fold = self.racing[place % len(self.racing)]
        return in_folds(entry, self.of, (fold,)), FIRST_RACING_SEED + place // len(self.racing)

    def confirmation(self, entry: CheckedRecipe) -> CheckedRecipe:
        """Return a candidate's recipe for images that the race never scores."""
        return in_folds(entry, self.of, self.confirming) if self.confirming else entry

    @property
    def trainings_a_seed(self) -> int:
        """How many trainings of an arm one seed of the confirmation takes."""
        return len(self.confirming) or 1


def choose_scheme(test: int, development: int, drawn: bool, where: str) -> Scheme:
    """Return how a data set with so many groups to test on, and to train and validate on, is used.

    drawn: whether the test split is augkit's own draw and may be drawn otherwise. `InputError` for too few groups.
    """
    if test >= LEAST_IMAGES and not (drawn and test + development < LEAST_DRAWN):
        if development < FOLDS:
            what = f"found {development} groups to train on; allowed: {FOLDS} or more"
            raise InputError(Problem(where, what, "A search divides them into folds"))
        return Scheme(DEVELOPMENT, tuple(range(FOLDS)), ())
    least = LEAST_IMAGES * FOLDS // len(CONFIRMING)
    if test + development < least:
        what = f"found {test + development} groups (images, or patients where they are told apart)"
        allowed = f"allowed: {least} or more, so that {LEAST_IMAGES} are left to confirm on"
        raise InputError(Problem(where, f"{what}; {allowed}", "So few images cannot tell which augmentation is best"))
    return Scheme(ALL, RACING, CONFIRMING)


def in_folds(entry: CheckedRecipe, of: str, only: tuple[int, ...]) -> CheckedRecipe:
    """Return a recipe that is trained and scored in some of the folds; its place on a curve is forgotten."""
    folds: dict[str, Value] = {"count": FOLDS, "of": of, "only": [*only]}
    document = {**entry.recipe.document, "folds": folds}
    recipe = replace(entry.recipe, document=document, folds=Folds(FOLDS, only, of), sweep=None)
    return replace(entry, recipe=recipe)
