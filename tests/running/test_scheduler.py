import pytest

from augkit.contracts import events
from augkit.contracts.executor import Said
from augkit.errors import AugkitError, DetachedRunError, InterruptedRunError
from augkit.planning.plan import Plan
from augkit.planning.tasks import Arm, Stage
from augkit.running.scheduler import build_side_by_side
from augkit.starting import Terminated
from augkit.store import Address


def stage(name, *inputs, recipe="a"):
    document = recipe and {"name": recipe, "seed": 7}
    named = {one.title: one for one in inputs}
    return Stage(Address("kind", name, f"fingerprint of {name}"), name, named, None, (), document, {})


def arm(name, dataset, *generators):
    segmenter = stage(f"unet {name}", dataset, *generators, recipe=name)
    evaluation = stage(f"evaluation {name}", dataset, segmenter, recipe=name)
    return Arm(name, 7, {"name": name, "seed": 0}, dataset, dataset, (), (), (), 0, None, segmenter, evaluation)


DATA = stage("data")
GAN = stage("gan", DATA)
ARMS = (arm("a", DATA), arm("b", DATA, GAN), arm("c", DATA, GAN))
PLAN = Plan(ARMS, stage("report", *(one.evaluation for one in ARMS), recipe=None))


class Executor:
    """Builds nothing: ends units in the order given by `choose`, with what `fates` says of their stage."""

    def __init__(self, capacity, fates=None, choose=lambda units: 0, on_wait=lambda number: None):
        self.capacity, self.fates, self.choose, self.on_wait = capacity, fates or {}, choose, on_wait
        self.under_way, self.log, self.most, self.interrupts, self.closed, self.waits = [], [], 0, 0, 0, 0

    def submit(self, unit):
        self.under_way.append(unit)
        self.most = max(self.most, len(self.under_way))
        self.log.append(unit)

    def wait(self):
        self.waits += 1
        if not self.interrupts:
            self.on_wait(self.waits)
        unit = self.under_way.pop(self.choose(self.under_way))
        if self.interrupts:
            problem = [unit.title, "step 3 of 9: interrupted; the state is saved", ""]
            return Said(unit, {"problems": [problem], "exit_code": 143, "interrupted": True})
        fate = self.fates.get(unit.title)
        if callable(fate):
            return fate(self, unit)
        problems = [[unit.title, fate[0], ""]] if fate else []
        return Said(unit, {"problems": problems, **({"exit_code": fate[1]} if fate else {})})

    def interrupt(self):
        self.interrupts += 1

    def close(self):
        self.closed += 1


def work(executor, missing=None, tell=lambda event: None):
    stages = missing or [one for one in PLAN.stages() if one is not PLAN.report]
    build_side_by_side(stages, executor, tell)
    return [unit.title for unit in executor.log]


@pytest.mark.parametrize("capacity", [1, 2])
def test_the_longest_chain_of_stages_is_begun_first(capacity):
    order = work(Executor(capacity))
    assert order.index("gan") < order.index("unet a")
    assert order.index("unet b") < order.index("evaluation b") < order.index("evaluation a")


@pytest.mark.parametrize("capacity", [1, 2, 3, 8])
@pytest.mark.parametrize(("last", "possible"), [(False, 3), (True, 2)])
def test_every_stage_is_built_once_after_what_it_needs_and_never_more_than_the_capacity(capacity, last, possible):
    executor = Executor(capacity, choose=lambda units: len(units) - 1 if last else 0)
    order = work(executor)
    stages = {one.title: one for one in PLAN.stages()}
    assert sorted(order) == sorted(set(stages) - {"report"})
    for i, title in enumerate(order):
        assert all(upstream.title in order[:i] for upstream in stages[title].inputs.values())
    assert executor.most == min(capacity, possible)
    assert executor.closed == 1


def test_independent_stages_begin_together():
    executor = Executor(3)
    assert work(executor)[:3] == ["data", "gan", "unet a"]
    assert executor.most == 3


def test_what_exists_is_not_built_and_what_belongs_to_no_arm_is_left_to_the_run():
    executor = Executor(2)
    assert work(executor, [ARMS[1].evaluation, PLAN.report]) == ["evaluation b"]


def test_a_unit_says_how_to_plan_its_stage_again_with_the_seed_of_its_arm():
    executor = Executor(1)
    work(executor, [ARMS[1].segmenter])
    (unit,) = executor.log
    assert unit.document == {"name": "b", "seed": 7}
    assert (unit.fingerprint, unit.title) == ("fingerprint of unet b", "unet b")


def test_a_failure_stops_only_what_needs_it_and_all_failures_are_told_at_the_end():
    executor = Executor(2, {"gan": ("collapsed", 4), "unet a": ("raised", 1)})
    told = []
    with pytest.raises(AugkitError) as caught:
        work(executor, tell=told.append)
    assert [str(problem) for problem in caught.value.problems] == ["gan: collapsed", "unet a: raised"]
    assert caught.value.exit_code == 1
    assert [unit.title for unit in executor.log] == ["data", "gan", "unet a"]
    skipped = [event.stage for event in told if isinstance(event, events.StageNoted)]
    assert sorted(skipped) == ["evaluation a", "evaluation b", "evaluation c", "unet b", "unet c"]
    assert executor.closed == 1


def test_independent_stages_end_although_others_failed():
    executor = Executor(2, {"gan": ("collapsed", 4)})
    with pytest.raises(AugkitError, match="gan: collapsed") as caught:
        work(executor)
    assert {"unet a", "evaluation a"} <= {unit.title for unit in executor.log}
    assert caught.value.exit_code == 4, "one kind of failure keeps its own exit code"


@pytest.mark.parametrize(("end", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_a_signal_is_passed_on_once_and_the_run_ends_when_all_have_saved(end, code):
    def stop(number):
        if number == 2:
            raise end

    executor = Executor(2, on_wait=stop)
    with pytest.raises(InterruptedRunError) as caught:
        work(executor)
    assert executor.interrupts == executor.closed == 1
    assert executor.under_way == []
    assert caught.value.exit_code == code
    assert sorted(problem.where for problem in caught.value.problems) == ["gan", "unet a"]


def test_a_second_signal_does_not_wait():
    def stop(number):
        raise KeyboardInterrupt

    executor = Executor(2, on_wait=stop)
    executor.interrupt = lambda: stop(0)
    with pytest.raises(KeyboardInterrupt):
        work(executor)
    assert executor.closed == 1


@pytest.mark.timeout(60)
def test_a_last_word_that_a_signal_cut_off_is_not_waited_for():
    class Forgetful(Executor):
        def wait(self):
            if self.under_way:
                self.under_way.clear()
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(Forgetful(1))


def test_events_of_workers_are_told_as_they_were():
    class Speaking(Executor):
        def wait(self):
            if self.waits == 0:
                self.waits = 1
                return Said(self.under_way[0], events.to_plain(event))
            return super().wait()

    event, told = events.StageAdvanced("data", 1, 2, {"loss": 0.1}), []
    work(Speaking(1), [DATA], told.append)
    assert told == [event]


def lost(unit, what="its process was ended by SIGKILL", **facts):
    return Said(unit, {"problems": [[unit.title, what, "hint"]], "exit_code": 1, "lost": True, **facts})


class Losing(Executor):
    """Says the words of `attempts` for the data set, one list after another; a number is a step."""

    def __init__(self, attempts):
        super().__init__(1)
        self.words = [word for attempt in attempts for word in attempt]

    def wait(self):
        unit, word = self.under_way[0], self.words.pop(0)
        if isinstance(word, int):
            return Said(unit, events.to_plain(events.StageAdvanced(unit.title, word, 99)))
        self.under_way.clear()
        return lost(unit, **word) if word is not None else Said(unit, {"problems": []})


def test_a_stage_whose_worker_was_lost_is_begun_again_and_somebody_hears_of_it():
    executor, told = Losing([[{}], [{}], [None]]), []
    assert work(executor, [DATA], told.append) == ["data"] * 3
    assert [event.text for event in told] == [
        "its process was ended by SIGKILL; it is begun again, from what it saved"
    ] * 2


def test_a_crash_that_always_comes_ends_after_two_more_attempts():
    executor = Losing([[{}]] * 9)
    with pytest.raises(AugkitError, match=r"^data: its process was ended by SIGKILL. hint$"):
        work(executor, [DATA])
    assert len(executor.log) == 3


def test_what_the_machine_was_taken_away_from_does_not_count():
    executor = Losing([[{"preempted": True}]] * 7 + [[{}], [{}], [None]])
    assert len(work(executor, [DATA])) == 10


def test_attempts_are_counted_anew_once_one_began_further_on_than_the_one_before():
    executor = Losing([[0, 20, {}], [10, 40, {}], [30, 50, {}], [40, 45, {}], [40, 45, {}], [40, 45, {}], [None]])
    with pytest.raises(AugkitError, match="SIGKILL"):
        work(executor, [DATA])
    assert len(executor.log) == 6, "three that got further, each once, and two that did not"


def test_what_is_lost_while_the_run_is_interrupted_is_not_begun_again():
    def stop(number):
        raise KeyboardInterrupt

    executor = Losing([[{}]])
    executor.wait, words = lambda: stop(0) if not executor.interrupts else words(), executor.wait
    with pytest.raises(InterruptedRunError, match="SIGKILL"):
        work(executor, [DATA])
    assert len(executor.log) == 1


def test_the_same_refusal_of_several_stages_is_told_once():
    refusal = {"problems": [["node n2", "has torch 1", ""]], "exit_code": 2}
    executor = Executor(
        2, {"gan": lambda self, unit: Said(unit, refusal), "unet a": lambda self, unit: Said(unit, refusal)}
    )
    with pytest.raises(AugkitError) as caught:
        work(executor)
    assert [str(problem) for problem in caught.value.problems] == ["node n2: has torch 1"]
    assert caught.value.exit_code == 2


def test_a_capacity_that_grows_while_nothing_else_is_said_is_used_at_once():
    class Growing(Executor):
        def wait(self):
            if self.capacity == 1 and self.under_way[0].title != "data":
                self.capacity = 3
                return Said(self.under_way[0], {})
            return super().wait()

    executor = Growing(1)
    assert len(work(executor)) == 8
    assert executor.most == 3


def test_what_is_left_to_itself_is_not_waited_for():
    class Lasting(Executor):
        def detach(self):
            self.detached = list(self.under_way)

    executor = Lasting(2)
    stages = [one for one in PLAN.stages() if one is not PLAN.report]
    with pytest.raises(DetachedRunError) as caught:
        build_side_by_side(stages, executor, lambda event: None, detach=True)
    assert str(caught.value) == (
        "detached: 1 stage is under way; 7 more begin when the same command is given again. "
        "The same command follows them to the report"
    )
    assert [unit.title for unit in executor.detached] == ["data"]
    assert (caught.value.exit_code, executor.waits, executor.closed) == (0, 0, 1)
