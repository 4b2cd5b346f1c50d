import threading
from pathlib import Path

import pytest

from augkit.contracts import events
from augkit.running import audience
from augkit.running.audience import WAITING, Audience
from samples import Watcher


def notes(watcher):
    return [event.text for event in watcher.of(events.StageNoted)]


def advanced(step):
    return events.StageAdvanced("s", step, 9999)


def test_everybody_hears_everything_in_order_in_a_thread_of_their_own():
    watchers, threads = [Watcher(), Watcher()], []

    def first(event):
        threads.append(threading.current_thread())
        watchers[0](event)

    told = [events.RunStarted((), 0, Path("r")), *(advanced(i) for i in range(100)), events.RunFinished(1.0, True)]
    with Audience([("a", first), ("b", watchers[1])]) as crowd:
        for event in told:
            crowd.tell(event)
    assert watchers[0].events == told
    assert watchers[1].events == told
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


def test_a_slow_observer_stalls_nobody_and_misses_progress_only():
    go, quick, slow = threading.Event(), Watcher(), Watcher()

    def late(event):
        go.wait(60)
        slow(event)

    with Audience([("late", late), ("quick", quick)]) as crowd:
        crowd.tell(events.StageStarted("s"))
        for step in range(10 * WAITING):
            crowd.tell(advanced(step))
            if step % 100 == 0:
                crowd.tell(events.StageNoted("s", str(step)))
        crowd.tell(events.StageFinished("s", 1.0, Path("f")))
        assert slow.events == [], "all was told while it had heard nothing"
        go.set()
    others = [event for event in slow.events if not isinstance(event, events.StageAdvanced)]
    assert [type(event) for event in others] == [
        events.StageStarted, *[events.StageNoted] * 26, events.StageFinished
    ]  # fmt: skip
    heard = [event.step for event in slow.events if isinstance(event, events.StageAdvanced)]
    assert WAITING // 2 < len(heard) < 2 * WAITING
    assert heard == sorted(heard)
    assert quick.events[-1] == others[-1]


@pytest.mark.parametrize("error", [RuntimeError("no disk"), SystemExit("no disk"), KeyboardInterrupt("no disk")])
def test_a_failing_observer_is_told_once_and_left_alone(error):
    calls, watcher = [], Watcher()

    def failing(event):
        calls.append(event)
        raise error

    with Audience([("bad", failing), ("good", watcher)]) as crowd:
        for step in range(50):
            crowd.tell(advanced(step))
    assert len(calls) == 1
    assert notes(watcher) == ["bad failed and is ignored: no disk"]
    assert len(watcher.events) == 51


def test_an_observer_that_hangs_is_left_behind_when_the_run_ends(monkeypatch):
    monkeypatch.setattr(audience, "PATIENCE_SECONDS", 0.2)
    never, calls, watcher = threading.Event(), [], Watcher()

    def hanging(event):
        calls.append(event)
        never.wait(60)

    with Audience([("stuck", hanging), ("good", watcher)]) as crowd:
        crowd.tell(events.StageStarted("s"))
        crowd.tell(events.StageStarted("t"))
    assert notes(watcher) == ["stuck is still busy and is left behind"]
    assert len(calls) == 1
    never.set()


def test_an_audience_of_nobody_starts_no_thread():
    before = threading.active_count()
    with Audience([]) as crowd:
        crowd.tell(events.StageStarted("s"))
    with Audience([("silent", print)]):
        pass
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "event",
    [
        events.RunStarted(("a", "b"), 3, Path("runs")),
        events.StageStarted("ä · b"),
        events.StageAdvanced("s", 1, 2, {"loss": 0.1}),
        events.StageNoted("s", "text\nmore"),
        events.StageFinished("s", 1.5, Path("runs/x")),
        events.RunFinished(2.5, False),
    ],
)
def test_an_event_survives_being_made_plain(event):
    import json

    assert events.from_plain(json.loads(json.dumps(events.to_plain(event)))) == event
