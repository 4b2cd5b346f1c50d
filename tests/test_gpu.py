"""What only a CUDA device can show. ``AUGKIT_TEST_DEVICE=cpu`` goes through it on the CPU, where much is trivial."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from augkit import Draws, Format, ImageSet, Workspace
from augkit.errors import InterruptedRunError
from augkit.metrics import confusion
from augkit.training import graphs, precision, score_images
from augkit.training.batches import Batches
from augkit.training.checkpoints import State
from augkit.training.loop import train
from augkit.training.pipeline import Pipeline
from augkit.training.precision import reproducible
from augkit_classical.colour import Colour
from augkit_classical.geometry import Geometry
from augkit_classical.presets import ClassicalStrong
from augkit_flow.distillation import DistilledLearner
from augkit_flow.generator import DistilledFlow, Flow
from augkit_flow.training import FlowLearner
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.learner import PixToPix
from augkit_mask2lesion.presets import Spade
from augkit_unet.network import UnetNetwork
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner
from samples import Log, lesions
from training.test_loop import bits
from training.test_ranks import PROGRAM, weights

DEVICE = os.environ.get("AUGKIT_TEST_DEVICE", "cuda")
STEPS = 40

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("error:.*eterminis"),
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def space(folder, seed=5):
    folder.mkdir(parents=True, exist_ok=True)
    return Workspace(folder, seed, DEVICE, Log())


def never_recorded(monkeypatch):
    monkeypatch.setattr(graphs, "WARM_UP", 10**9)


def unet(folder, **options):
    options = Unet(**{"width": 8, "steps": STEPS, "batch_size": 8, "optimizer": "adamw", **options})
    augment = Pipeline([("classical-strong", ClassicalStrong())])
    return UnetLearner(options, lesions(24, 64), augment, space(folder))


def unet_sgd(folder):
    return unet(folder, optimizer="sgd", loss="bce_dice", schedule="cosine")


def gan(folder):
    options = Mask2Lesion(width=8, patch_layers=2, batch_size=4, epochs=4, decay_epochs=4)
    return PixToPix(options, lesions(24, 64), space(folder))


def gan_of_instance_norm(folder):
    options = Mask2Lesion(width=8, norm="instance", patch_layers=2, batch_size=4, epochs=4, decay_epochs=4)
    return PixToPix(options, lesions(24, 64), space(folder))


def spade(folder):
    options = Spade(width=8, spectral_norm=True, lambda_r1=1.0, style=4, batch_size=4, epochs=4, decay_epochs=4)
    return PixToPix(options, lesions(24, 64), space(folder))


def flow(folder):
    return FlowLearner(Flow(width=8, steps=STEPS, batch_size=8), lesions(24, 64), space(folder))


def flow_distilled(folder):
    options = DistilledFlow(width=8, steps=STEPS // 2, student_width=8, student_steps=STEPS - STEPS // 2, batch_size=4)
    return DistilledLearner(options, lesions(24, 64), space(folder))


LEARNERS = [unet, unet_sgd, gan, gan_of_instance_norm, spade, flow, flow_distilled]


# CPU and GPU alike


def test_draws_have_the_bits_of_the_cpu():
    samples = np.arange(-50, 50, dtype=np.int64) * 7919
    here = Draws.of(3, "batch", samples, np.arange(100))
    there = Draws.on_device(3, "batch", torch.from_numpy(samples).to(DEVICE), torch.arange(100, device=DEVICE))
    for draw in (
        lambda draws: draws.bits("a", (5,)),
        lambda draws: draws.uniform("a", -3.0, 7.0, (5,)),
        lambda draws: draws.uniforms(("a", "b", "c")),
        lambda draws: draws.normal("a", 2.0, 0.1, (5,)),
        lambda draws: draws.field("a", (3, 9, 11)),
        lambda draws: draws.integers("a", -4, 90, (5,)),
        lambda draws: draws.boolean("a", 0.3, (5,)),
        lambda draws: draws.fork("x")[10:20].bits("a"),
    ):
        assert np.array_equal(draw(here), draw(there).cpu().numpy())


@pytest.mark.parametrize("chain", [[Geometry(flip="both"), Colour()], [ClassicalStrong()]])
def test_augmented_batches_differ_by_one_grey_level_at_most(chain):
    chain = Pipeline([(type(each).__name__, each) for each in chain])
    samples = textured(64)
    here, there = (Batches(samples, 64, 0, device).at(3).augmented(chain) for device in ("cpu", DEVICE))
    assert float((here.images - there.images.cpu()).abs().max()) <= 1 / 255 + 1e-6
    assert float((here.masks != there.masks.cpu()).float().mean()) < 1e-3, "pixels on the border of two"


def test_predictions_and_their_metrics_are_those_of_the_cpu():
    samples = textured(48)
    torch.manual_seed(0)
    network = UnetNetwork(16, Format()).eval()
    with reproducible():
        here = score_images(network, samples.images, Format(), "cpu")
        there = score_images(network.to(DEVICE, memory_format=torch.channels_last), samples.images, Format(), DEVICE)
    assert float(np.abs(here - there).max()) < 1e-3
    counts = [confusion((scores > np.median(here))[:, 0], samples.masks) for scores in (here, there)]
    assert np.abs(counts[0] - counts[1]).max() <= 0.002 * samples.masks[0].size


def textured(n):
    samples = lesions(n, 64)
    noise = np.random.Generator(np.random.Philox(key=1)).integers(-40, 40, samples.images.shape)
    images = (samples.images.astype(int) + noise).clip(0, 255).astype(np.uint8)
    return ImageSet(samples.ids, images, samples.masks, samples.groups, samples.origins)


# Bits


@pytest.mark.parametrize("make", LEARNERS)
def test_a_training_has_the_same_bits_twice_recorded_or_not(tmp_path, monkeypatch, make):
    found = []
    for name in ("once", "again", "as it is"):
        if name == "as it is":
            never_recorded(monkeypatch)
        learner = make(tmp_path / name)
        train(learner, space(tmp_path / name), STEPS)
        found.append(bits(learner))
        assert len(found[0]) > 10
    assert found[0] == found[1], "two equal trainings"
    assert found[0] == found[2], "recorded and not"


def test_a_compiled_training_has_the_same_bits_twice_and_after_a_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "COMPILE_ABOVE", {(DEVICE, kind): 0.0 for kind in ("float32", "bfloat16")})
    found = []
    for name in ("once", "again"):
        learner = unet_sgd(tmp_path / name)
        assert precision.is_compiled(learner.network)
        train(learner, space(tmp_path / name), STEPS)
        found.append(bits(learner))
    stopped_at(17, unet_sgd(tmp_path / "parts"), tmp_path / "parts")
    learner = unet_sgd(tmp_path / "parts")
    train(learner, space(tmp_path / "parts"), STEPS)
    assert found == [bits(learner)] * 2


@pytest.mark.parametrize("make", LEARNERS)
def test_steps_are_recorded(tmp_path, make):
    learner = make(tmp_path)
    train(learner, space(tmp_path), STEPS)
    assert learner_notes(learner) == []
    assert DEVICE == "cpu" or any(part._recording for part in recorded(learner))


def recorded(learner):
    own = [getattr(learner, name, None) for name in ("_whole_step", "_descend")]
    return [part for part in [*own, *getattr(learner, "_descents", {}).values()] if isinstance(part, graphs.Recorded)]


def learner_notes(learner):
    return [note for part in recorded(learner) for note in part._space.log.notes]


@pytest.mark.parametrize("make", LEARNERS)
def test_a_training_stopped_by_sigterm_and_continued_ends_in_the_same_bits(tmp_path, make):
    whole = make(tmp_path / "whole")
    train(whole, space(tmp_path / "whole"), STEPS)
    for stop in (2, 17, 30):
        stopped_at(stop, make(tmp_path / "parts"), tmp_path / "parts")
    learner = make(tmp_path / "parts")
    train(learner, space(tmp_path / "parts"), STEPS)
    assert bits(learner) == bits(whole)


def stopped_at(stop, learner, folder):
    original = learner.step

    def step(number):
        if number == stop:
            signal.raise_signal(signal.SIGTERM)
        return original(number)

    learner.step = step
    with pytest.raises(InterruptedRunError):
        train(learner, space(folder), STEPS)


def spade_of_many_epochs(folder):
    options = Spade(width=8, lambda_r1=1.0, style=4, batch_size=4, epochs=10, decay_epochs=10)
    return PixToPix(options, lesions(24, 64), space(folder))


@pytest.mark.parametrize(("make", "fault", "steps"), [(unet_sgd, 20, STEPS), (spade_of_many_epochs, 70, 100)])
def test_a_training_that_went_back_to_its_first_step_is_recorded_anew(tmp_path, make, fault, steps):
    whole = make(tmp_path / "whole")
    train(whole, space(tmp_path / "whole"), steps)
    learner = make(tmp_path / "back")
    original, faults = learner.step, [fault]

    def step(number):
        values = original(number)
        broken = number in faults and not faults.clear()
        return {name: value * float("nan") for name, value in values.items()} if broken else values

    learner.step = step
    train(learner, space(tmp_path / "back"), steps)
    assert not faults
    assert bits(learner) == bits(whole)


RECIPE = """
name: killed
seed: 0
dataset: {phantom: {train: 24, test: 4, size: 64}}
synthesize:
  - generator:
      mask2lesion:
        {width: 8, norm: instance, patch_layers: 2, batch_size: 4, epochs: 5, decay_epochs: 5, reduction: REDUCTION}
    masks: {training: {}}
    per_real: 1.0
augment:
  - classical-strong: {}
segmenter: {unet: {width: 8, steps: 150, batch_size: 8, reduction: REDUCTION}}
"""


def begin(folder, reduction="fast", processes=1, program=PROGRAM):
    folder.mkdir(exist_ok=True)
    (folder / "killed.yaml").write_text(RECIPE.replace("REDUCTION", reduction))
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--no-python"]
    command = [sys.executable, *several, sys.executable] if processes > 1 else [sys.executable]
    arguments = ["-c", program, "run", "killed.yaml", "--quiet", f"--device={DEVICE}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (folder / "out.txt").open("w") as out:
        return subprocess.Popen([*command, *arguments], cwd=folder, env=environment, stdout=out, stderr=out)


def said(folder):
    return (folder / "out.txt").read_text()


def test_a_run_killed_at_any_time_and_continued_ends_in_the_same_files(tmp_path):
    assert begin(tmp_path / "whole").wait() == 0, said(tmp_path / "whole")
    folder, deadline = tmp_path / "parts", time.monotonic() + 200
    for wanted in ("generator-*/*/files/checkpoints/0*", "segmenter-*/*/files/checkpoints/0*"):
        process = begin(folder)
        while process.poll() is None and not list(folder.glob(f"runs/.augkit/work/{wanted}")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
    assert begin(folder).wait() == 0, said(folder)
    assert weights(folder) == weights(tmp_path / "whole")
    assert len(weights(folder)) == 2


@pytest.mark.parametrize("reduction", ["ordered"])
def test_one_and_two_processes_on_one_gpu_end_in_the_same_weights(tmp_path, reduction):
    processes = [begin(tmp_path / str(count), reduction, count) for count in (1, 2)]
    for count, process in zip((1, 2), processes, strict=True):
        assert process.wait() == 0, said(tmp_path / str(count))
    assert weights(tmp_path / "1") == weights(tmp_path / "2")


# The host


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("make", LEARNERS)
def test_the_host_does_not_wait_for_the_device_in_a_hundred_steps(tmp_path, monkeypatch, make, recorded):
    if not recorded:
        never_recorded(monkeypatch)
    learner = make(tmp_path)
    state = State(learner, DEVICE)
    with reproducible():
        for number in range(108):
            with waiting("error" if number >= 8 else "default"):
                state.add(learner.step(number))


@contextmanager
def waiting(mode):
    if DEVICE == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


LITTLE_MEMORY = """
import torch
torch.cuda.set_per_process_memory_fraction(0.0002)
"""


def test_too_little_memory_is_told_in_one_sentence(tmp_path):
    folder = tmp_path / "little"
    process = begin(folder, program=LITTLE_MEMORY * (DEVICE != "cpu") + PROGRAM)
    code = process.wait()
    words = said(folder)
    if DEVICE == "cpu":
        pytest.skip("the memory of a CPU cannot be limited so")
    assert code == 1, words
    assert "Traceback" not in words
    assert "the memory of the GPU is used up" in words, words
    assert "batch_size" in words, words


def by_way_of_the_host(images, masks, draws):
    return images.cpu().to(DEVICE), masks


def test_an_augmentation_that_waits_for_the_device_leaves_the_rest_recorded(tmp_path, monkeypatch):
    found = []
    for folder in (tmp_path / "recorded", tmp_path / "as it is"):
        if found:
            never_recorded(monkeypatch)
        options = Unet(width=4, steps=STEPS, batch_size=4)
        learner = UnetLearner(options, lesions(8, 32), by_way_of_the_host, space(folder))
        train(learner, space(folder), STEPS)
        found.append(bits(learner))
        told = [note for part in recorded(learner) for note in part._space.log.notes]
        if DEVICE != "cpu" and len(found) == 1:
            assert "cannot be recorded as a CUDA graph" in told[0]
            assert [part._recording is not None for part in recorded(learner)] == [False, True]
    assert found[0] == found[1]
