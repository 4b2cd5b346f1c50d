"""What plugins may do to a run after their first batch, and what the run then says."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from augkit import Draws
from augkit.contracts.manners import Settings, contained
from augkit.errors import AugkitError, ContractError, StageError, said_by
from augkit.running import vigil
from augkit.training.pipeline import EVERY, Checked, Pipeline
from running.test_stages import FakeGenerator, FakeMasks, FakeSegmenter, good_images, good_scores, run
from samples import Log

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def batch(n=4):
    draws = Draws.of(0, "batch", np.arange(n))
    return torch.rand(n, 3, 8, 8), torch.ones(n, 1, 8, 8), Draws(torch.from_numpy(draws.keys))


def late(change, begin=1):
    """An augmentation that changes nothing in its first calls, and then does what `change` says."""
    calls = []

    def augmentation(images, masks, draws):
        calls.append(1)
        return (images, masks) if len(calls) <= 2 * begin else change(images, masks)

    return augmentation


def with_nan(images, masks):
    images = images.clone()
    images[3, 0, 0, 0] = float("nan")
    return images, masks


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images, masks: (images * 255, masks), r"returned image values in 0\..* \.\. 2\d\d"),
        (lambda images, masks: (images, masks - 5), r"returned mask values in -4 \.\. -4 for sample 1"),
        (lambda images, masks: (images[:-1], masks[:-1]), r"returned images float32 .* \(3, 3, 8, 8\); return float32"),
        (lambda images, masks: (images.double(), masks), r"returned images float64 .*; return float32 \(4, 3, 8, 8\)"),
        (lambda images, masks: (images, masks.to(torch.int64)), r"returned masks int64 .*; return float32"),
        (lambda images, masks: [images, masks], r"returned a list; return a tuple"),
        (with_nan, "returned images values that are not finite for sample 3"),
    ],
)
def test_every_batch_of_an_augmentation_is_held_to_dtype_shape_and_range(change, said):
    pipeline = Pipeline([("calm", Checked("calm", lambda i, m, d: (i, m))), ("late", Checked("late", late(change)))])
    pipeline(*batch())
    with pytest.raises(ContractError, match=f"augmentation 'late' {said}"):
        pipeline(*batch())


def test_every_sample_has_its_turn():
    def one_is_bright(images, masks):
        images = images.clone()
        images[2] += 7
        return images, masks

    augmentation = Checked("late", late(one_is_bright))
    augmentation(*batch())
    augmentation(*batch())  # looks at sample 1
    with pytest.raises(ContractError, match="for sample 2"):
        augmentation(*batch())


def in_place(images, masks):
    images.mul_(0.5)
    return images, masks


def wobbly(images, masks):
    return images * float(np.random.Generator(np.random.Philox()).uniform()), masks


def drawing(images, masks):
    torch.rand(1)
    return images, masks


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (in_place, "changed the images that it was given"),
        (wobbly, "changed 4 of 4 answers between two equal calls"),
        (drawing, "used the global random generator of torch"),
    ],
)
def test_now_and_then_a_batch_is_checked_for_changed_inputs_other_answers_and_global_randomness(change, said):
    augmentation = Checked("late", late(change))
    for _ in range(EVERY):
        augmentation(*batch())
    with pytest.raises(ContractError, match=said):
        augmentation(*batch())


def test_nan_in_the_images_themselves_is_nobody_s_fault():
    images, masks, draws = batch()
    images[1, 0, 0, 0] = float("nan")
    pipeline = Pipeline([("calm", late(lambda i, m: (i, m)))])
    assert torch.isnan(pipeline(images, masks, draws)[0]).any()


def test_an_augmentation_that_changes_threads_dtype_or_folder_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for change, said in [
        (lambda: torch.set_num_threads(3), "changed the number of torch threads from 1 to 3"),
        (lambda: torch.set_default_dtype(torch.float64), "changed torch's default dtype from float32 to float64"),
        (lambda: os.chdir("/"), "changed the working folder to /"),
    ]:
        augmentation = Checked("late", late(lambda i, m, change=change: (change(), (i, m))[1]))
        augmentation(*batch())
        with contained(), pytest.raises(ContractError, match=said):
            augmentation(*batch())
        assert (torch.get_num_threads(), torch.get_default_dtype(), Path.cwd()) == (1, torch.float32, tmp_path)


def meddle(*arguments):
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    os.chdir("/")
    np.random.seed(3)  # noqa: NPY002 - it is what must not be done
    torch.manual_seed(7)


def test_what_a_fit_does_to_the_process_is_told_and_put_back_and_the_run_stays_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = Settings.now()
    told = Log()
    monkeypatch.setattr("augkit.running.engine._StageLog.note", lambda self, text: told.note(text))
    run(tmp_path / "runs", sources=[], segmenter=FakeSegmenter(fitting=meddle))
    after = Settings.now()
    assert before.changes(after) == before.used_generators(after) == []
    assert "augkit-fake 1.2 (fake) changed the working folder to / while it trained; it is put back" in told.notes
    assert any("changed the number of torch threads from 1 to 3" in note for note in told.notes)
    assert any("used the global random generator of numpy.random and torch: another" in note for note in told.notes)


def test_a_predictor_and_a_painter_that_meddle_are_refused(tmp_path):
    def meddling(answer):
        def call(*arguments):
            torch.set_default_dtype(torch.float64)
            return answer(*arguments)

        return call

    said = "changed torch's default dtype from float32 to float64"
    with pytest.raises(ContractError, match=f"the segmenter {said}"):
        run(tmp_path / "a", sources=[], segmenter=FakeSegmenter(meddling(good_scores)))
    with pytest.raises(ContractError, match=f"the generator {said}"):
        run(tmp_path / "b", sources=[(FakeGenerator(meddling(good_images)), FakeMasks(), 1.0, None)])


class SpeechlessError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class WordlessError(AugkitError):
    def __init__(self):
        self.problems = ("not a problem",)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda *_: sys.exit(0), r"SystemExit in augkit-fake 1\.2 \(fake\): 0"),
        (
            lambda *_: os._exit(0),
            r"RuntimeError in augkit-fake 1\.2 \(fake\): it called os\._exit\(0\), which",
        ),
        (lambda *_: raises(SpeechlessError()), r"SpeechlessError in augkit-fake .*cannot be had, because that"),
        (lambda *_: raises(WordlessError()), r"WordlessError in augkit-fake"),
    ],
)
def test_no_plugin_ends_a_run_without_a_sentence(tmp_path, end, said):
    with pytest.raises(StageError, match=said):
        run(tmp_path, sources=[], segmenter=FakeSegmenter(fitting=end))


def raises(error):
    raise error


def ctrl_c_that_becomes(error):
    """What compiled code may make of Ctrl-C: another error, or nothing."""

    def fitting(*_):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            if error:
                raise error from None

    return fitting


@pytest.mark.parametrize("error", [ValueError("Invalid affine transformation matrix"), SystemExit(3), None])
def test_ctrl_c_is_not_lost_in_code_that_makes_something_else_of_it(tmp_path, error):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, sources=[], segmenter=FakeSegmenter(fitting=ctrl_c_that_becomes(error)))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_forked_child_of_a_plugin_may_end_as_it_likes():
    with contained():
        child = os.fork()
        if child == 0:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    done = subprocess.run([sys.executable, "-c", "import os; os._exit(3)"], check=False)
    assert done.returncode == 3


def test_what_an_exception_says_is_one_line():
    assert said_by(ValueError("one\ntwo")) == "one"
    assert said_by(SpeechlessError()) == "what it says cannot be had, because that raised RuntimeError"


def test_a_stage_that_says_nothing_is_named_with_the_line_it_is_at(monkeypatch):
    monkeypatch.setattr(vigil, "SILENCE_SECONDS", 0.2)
    log = Log()
    with vigil.Vigil(["augkit-slow 1.0 (slow)"], {__name__.partition(".")[0]}, log.note).watching():
        time.sleep(0.35)
    assert re.match(
        r"nothing was heard of augkit-slow 1\.0 \(slow\) for 0\.\d s; it is at .*test_conduct\.py:", log.notes[0]
    )
    assert len(log.notes) == 1  # the next one would come after twice as long


def test_a_stage_that_speaks_is_left_alone(monkeypatch):
    monkeypatch.setattr(vigil, "SILENCE_SECONDS", 0.3)
    log = Log()
    watch = vigil.Vigil([], set(), log.note)
    with watch.watching():
        for _ in range(8):
            time.sleep(0.05)
            watch.hear()
    assert log.notes == []
