"""The race and the confirmation, block after block, through one session.

Nothing is remembered beside the store: what a block scored and took is read from its artifacts, and who leaves follows
from that. So the same command after a kill finds its blocks done, and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from augkit.amounts import duration
from augkit.data.stored import read_image_set, read_names
from augkit.errors import InputError, Problem
from augkit.planning.components import CheckedRecipe
from augkit.planning.tasks import Arm, in_order
from augkit.report.arms import read_scores
from augkit.report.recorded import Recorded, read_report
from augkit.report.verdict.comparison import least_seeds, planned_seeds
from augkit.running.estimate import SECONDS, estimate_stages
from augkit.running.session import Session
from augkit.searching.clock import Clock, first_estimate, first_stages
from augkit.searching.field import Field, control_of
from augkit.searching.race import LAST, Block, Standing, half_of, kept_by_looks, leaving, ranked, standings
from augkit.searching.scheme import Scheme, choose_scheme

MOST_SEEDS = 10
"""Of the confirmation, if there is time."""

TRIED_SHARE, LEAST_TRIED = 0.003, 1.0
"""Of the time, for how long a stage is tried before the race, and seconds at least."""

CONFIRMATION = 0.4
"""Of the time, what the race leaves to the confirmation."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Round:
    """One block of the race and what came of it.

    fold, seed: of its trainings.
    block:      its scores.
    seconds:    candidate -> what its own stages took, generators included.
    standings:  the best first, all that were in.
    gone:       candidate -> why it left after this block.
    spent:      seconds of the search until then.
    """

    fold: int
    seed: int
    block: Block
    seconds: Mapping[str, float]
    standings: tuple[Standing, ...]
    gone: Mapping[str, str]
    spent: float


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    winner:  of the race.
    control: what it was confirmed against; None where the winner is training without any augmentation.
    report:  of the confirmation; None likewise.
    best:    the recipe to use: the winner, or its control where that was not worse.
    seeds:   of the confirmation.
    budget:  seconds that were given.
    spent:   seconds that race and confirmation took.
    ended:   why the race ended.
    """

    field: Field
    scheme: Scheme
    rounds: tuple[Round, ...]
    winner: CheckedRecipe
    control: CheckedRecipe | None
    report: Recorded | None
    best: CheckedRecipe
    seeds: tuple[int, ...]
    budget: float
    spent: float
    ended: str

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The scores of the race."""
        return tuple(one.block for one in self.rounds)


class Search:
    """One search: a field of candidates, a way to divide the data, and the seconds there are.

    budget: seconds for race and confirmation, as their artifacts record them.
    seeds:  of the confirmation; None for as many from 0 on as the time is enough for.
    where:  the data, in words.
    """

    def __init__(
        self,
        field: Field,
        session: Session,
        jobs: int,
        budget: float,
        seeds: Sequence[int] | None,
        where: str,
        tell: Tell,
    ) -> None:
        self._field = field
        self._session = session
        self._jobs = jobs
        self._budget = budget
        self._seeds = seeds
        self._where = where
        self._tell = tell
        self._clock = Clock(session.store, jobs)
        self._entries = {entry.recipe.name: entry for entry in field.entries}

    def choose_scheme(self) -> Scheme:
        """Read the data set and return how its groups are divided."""
        loaded = in_order((self._session.plan(self._field.entries[:1]).arms[0].dataset,))[0]
        (folder,) = self._session.build([loaded])
        groups = {part: set(read_names(folder / part).groups) for part in ("train", "validation", "test")}
        development = len(groups["train"] | groups["validation"])
        return choose_scheme(len(groups["test"]), development, self._field.drawn, self._where)

    def run(self, scheme: Scheme) -> Outcome:
        """Race, confirm, and return what was found. `InputError` where the time is too short for one block of all."""
        self._refuse_few_seeds(scheme)
        first = self._plan(scheme, self._field.names, 0)
        self._refuse_short(first, scheme)
        rounds, ended = self._race(scheme)
        winner = self._entries[ranked([one.block for one in rounds])[0]]
        control = control_of(winner, self._field.entries)
        report, seeds = None, tuple(self._seeds or ())
        if control is not None:
            report, seeds = self._confirm(scheme, winner, control)
        best = _best(winner, control, report)
        return Outcome(
            self._field, scheme, rounds, winner, control, report, best, seeds, self._budget, self._clock.spent, ended
        )

    # The race.

    def _race(self, scheme: Scheme) -> tuple[tuple[Round, ...], str]:
        rounds: list[Round] = []
        racing: Sequence[str] = self._field.names
        while True:
            rounds.append(self._round(scheme, racing, rounds))
            racing = [one.candidate for one in rounds[-1].standings if one.candidate not in rounds[-1].gone]
            if len(racing) == 1:
                return tuple(rounds), f"all others had left after {len(rounds)} blocks"
            if len(rounds) == LAST:
                return tuple(rounds), f"{LAST} blocks are the most that a race has"
            first = {one: rounds[0].seconds[one] for one in racing}
            if self._left(scheme, first) < self._next(scheme, racing, len(rounds)):
                return tuple(rounds), f"the time was not enough for another block of the {len(racing)} that were left"

    def _round(self, scheme: Scheme, racing: Sequence[str], rounds: Sequence[Round]) -> Round:
        arms = self._plan(scheme, racing, len(rounds))
        self._session.build([arm.evaluation for arm in arms])
        seconds = self._clock.count(arms)
        scored = [read_scores([arm], read_image_set(self._session.store.path(arm.dataset.address) / "test"),
                              lambda stage: self._session.store.path(stage.address)) for arm in arms]  # fmt: skip
        block = Block(scored[0].image_ids, {arm.arm: arm.values["dice"][0] for arm in scored})
        block = Block(block.images, {name: block.scores[name] for name in racing})
        blocks = [*(one.block for one in rounds), block]
        gone = leaving(blocks, self._kept(scheme, blocks, rounds[0].seconds if rounds else seconds))
        found = Round(arms[0].fold or 0, arms[0].seed, block, seconds, standings(blocks), gone, self._clock.spent)
        self._tell(told(found, len(blocks), self._budget))
        return found

    def _kept(self, scheme: Scheme, blocks: Sequence[Block], first: Mapping[str, float]) -> int:
        """Return how many stay: those of the looks, and no more than two further blocks of them can be paid for."""
        gone = leaving(blocks, len(blocks[-1].scores))  # as worse only
        order = [one for one in ranked(blocks) if one not in gone]
        keep = kept_by_looks(len(blocks[-1].scores), len(blocks))
        while keep > 2 and self._left(scheme, {one: first[one] for one in order[:keep]}) < 2 * self._next(
            scheme, order[:keep], len(blocks)
        ):
            keep = half_of(keep)
        return keep

    def _plan(self, scheme: Scheme, names: Sequence[str], place: int) -> tuple[Arm, ...]:
        recipes = [scheme.block(self._entries[name], place) for name in names]
        return self._session.plan([recipe for recipe, _ in recipes], [recipes[0][1]]).arms

    def _left(self, scheme: Scheme, first: Mapping[str, float]) -> float:
        """Return the seconds that the race has left; `first` is what those that are in took in the first block.

        Two fifths of the time are the confirmation's, and more where that is not enough for the dearest of them.
        """
        pair = (max(first.values()) + min(first.values())) / min(self._jobs, 2)
        confirmation = least_seeds(scheme.trainings_a_seed) * scheme.trainings_a_seed * pair
        return self._budget - max(confirmation, CONFIRMATION * self._budget) - self._clock.spent

    def _next(self, scheme: Scheme, names: Sequence[str], place: int) -> float:
        return self._clock.forecast(self._plan(scheme, names, place))

    # The time.

    def _refuse_few_seeds(self, scheme: Scheme) -> None:
        least = least_seeds(scheme.trainings_a_seed)
        if self._seeds is not None and len(set(self._seeds)) < least:
            what = f"found {len(set(self._seeds))}; allowed: {least} or more, as fewer give no verdict"
            raise InputError(Problem("--seeds", what, f"As in --seeds 0..{planned_seeds(scheme.trainings_a_seed) - 1}"))

    def _refuse_short(self, arms: Sequence[Arm], scheme: Scheme) -> None:
        """Refuse a time too short for one block of all and a confirmation; not once the race has begun."""
        if any(self._session.engine.has(arm.evaluation) for arm in arms):
            return
        stages = first_stages(arms)
        missing = [stage for stage in stages if not self._session.engine.has(stage)]
        tried = {}
        if missing:
            self._tell(f"trying {len(missing)} stages, to know what a block takes")
            seconds = max(LEAST_TRIED, min(SECONDS, self._budget * TRIED_SHARE))
            found = estimate_stages(missing, self._session.store, self._session.engine, seconds)
            tried = {stage: one.seconds or 0.0 for stage, one in found.items()}
        for stage in in_order(stages):
            if self._session.engine.has(stage):
                tried[stage] = float(self._session.store.manifest(stage.address)["seconds"])
        block, pair, each = first_estimate(arms, tried, self._jobs)
        confirmation = least_seeds(scheme.trainings_a_seed) * scheme.trainings_a_seed * pair
        enough = block + confirmation
        self._tell(f"a block of all {len(arms)} candidates takes about {duration(block)}, a confirmation "
                   f"{duration(confirmation)} or more")  # fmt: skip
        if enough > self._budget:
            dearest = max(each, key=lambda name: each[name])
            what = (
                f"found {duration(self._budget)}; one block of all {len(arms)} candidates takes about "
                f"{duration(block)} here, and confirming the best one about {duration(confirmation)}"
            )
            raise InputError(
                Problem(
                    "--minutes",
                    f"{what}; allowed: about {duration(1.2 * enough)} or more",
                    f"Or fewer candidates, as with --without {dearest} ({duration(each[dearest])} a training)",
                )
            )

    # The confirmation.

    def _confirm(
        self, scheme: Scheme, winner: CheckedRecipe, control: CheckedRecipe
    ) -> tuple[Recorded, tuple[int, ...]]:
        """Train the winner and its control anew, on images that the race never scored, and return the report."""
        pair = [scheme.confirmation(control), scheme.confirmation(winner)]
        like = {
            control.recipe.name: control.recipe.name if control.recipe.name in self._entries else winner.recipe.name
        }
        if self._seeds is None:
            one = self._clock.forecast(self._session.plan(pair, [0]).arms, like)
            affordable = int((self._budget - self._clock.spent) / max(one, 1e-9))
            seeds = tuple(range(max(least_seeds(scheme.trainings_a_seed), min(MOST_SEEDS, affordable))))
        else:
            seeds = tuple(self._seeds)
        names = f"{winner.recipe.name} against {control.recipe.name}"
        self._tell(f"confirming {names} with {len(seeds)} new seeds on images that the race never scored")
        plan = self._session.plan(pair, seeds)
        folder: Path = self._session.run(plan)
        self._clock.count(plan.arms)
        return read_report(folder), seeds


def _best(winner: CheckedRecipe, control: CheckedRecipe | None, report: Recorded | None) -> CheckedRecipe:
    """Return the winner, or its control where the confirmation found the winner no better."""
    if control is None or report is None:
        return winner
    found = report.comparison["contrasts"][0]
    if found["verdict"] in ("harms", "equivalent"):
        return control
    differences = found["difference_by_seed"]
    return winner if sum(differences) > 0 else control


def told(found: Round, number: int, budget: float) -> str:
    """Return a block in words."""
    best = found.standings[0]
    left = [f"{name} ({'worse' if why == 'worse' else 'by time'})" for name, why in found.gone.items()]
    leaving = f"; out: {', '.join(left)}" if left else ""
    stay = len(found.standings) - len(found.gone)
    return (
        f"block {number} (fold {found.fold}, seed {found.seed}): {best.candidate} leads with {best.mean:.4f}"
        f"{leaving}; {stay} still in; {duration(found.spent)} of {duration(budget)}"
    )
