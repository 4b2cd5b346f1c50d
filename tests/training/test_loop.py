import gc
import hashlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from augkit import Format, ImageSet
from augkit.errors import DivergedError, InputError, InterruptedRunError, StageError
from augkit.store import read_json
from augkit.training import loop
from augkit.training.batches import Batches
from augkit.training.checkpoints import State, remove_checkpoints
from augkit.training.ema import Ema
from augkit.training.loop import seeded, train
from augkit.training.precision import autocast, choose_device, choose_precision, memory_layout
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.learner import PixToPix
from augkit_mask2lesion.presets import Spade
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner, operations
from samples import image_set, workspace

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
STEPS = 40


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Bits depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Toy:
    """A perceptron with batch normalisation and Adam that fits numbers drawn from the step's number.

    A signal or a fault can be planted at a step; `done` lists the steps that were computed.
    """

    def __init__(self, at=None, plant=lambda toy: None, optimizer=None):
        with seeded(1):
            network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 1))
        self.networks = {"toy": network}
        adam = optimizer or (lambda parameters: torch.optim.Adam(parameters, lr=1e-2, fused=True))
        self.optimizers = {"toy": adam(network.parameters())}
        self.at, self.plant, self.done = at, plant, []
        self.factor = 1.0

    def step(self, number):
        if number == self.at:
            self.plant(self)
        network, optimizer = self.networks["toy"], self.optimizers["toy"]
        generator = torch.Generator().manual_seed(number)
        x = torch.randn(8, 6, generator=generator)
        loss = ((network(x) - x.sum(1, keepdim=True)) ** 2).mean() * self.factor
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        self.done.append(number)
        return {"loss": loss, "largest": x.max()}  # in an order that is not the alphabet's


def interrupt(number):
    return lambda learner: signal.raise_signal(number)


def poison_loss(toy):
    toy.factor = float("nan")


def overflow_loss(toy):
    toy.factor = float("inf")


def poison_gradient(toy):
    """The loss is finite, the weights are not."""
    weight = toy.networks["toy"][0].weight
    weight.register_hook(lambda gradient: torch.full_like(gradient, float("nan")))


def poison_weight(toy):
    with torch.no_grad():
        toy.networks["toy"][0].bias[0] = float("inf")


def bits(learner):
    """Hash of every weight, buffer and optimiser state."""
    tensors = State(learner, "cpu").tensors()
    return {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in tensors.items()}


def run_toy(folder, **planted):
    learner, space = Toy(**planted), workspace(folder)
    train(learner, space, STEPS)
    return learner, space


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    learner, space = run_toy(tmp_path_factory.mktemp("uninterrupted"))
    return bits(learner), read_json(space.folder / "history.json")


# Continuing


def test_the_history_holds_the_means_of_every_window(uninterrupted):
    _, history = uninterrupted
    assert [row["step"] for row in history] == [25, 40]
    learner = Toy()
    values = [learner.step(number) for number in range(STEPS)]
    means = [np.mean([float(v["largest"].detach()) for v in part]) for part in (values[:25], values[25:])]
    assert [row["largest"] for row in history] == pytest.approx(means, rel=1e-6)


def test_a_training_stopped_at_any_step_and_continued_ends_in_the_same_bits(tmp_path, uninterrupted):
    for stop in range(1, STEPS):
        folder = tmp_path / str(stop)
        with pytest.raises(InterruptedRunError) as caught:
            run_toy(folder, at=stop - 1, plant=interrupt(signal.SIGINT))
        assert str(caught.value) == f"step {stop} of 40: interrupted; the state is saved"
        learner, space = run_toy(folder)
        assert learner.done == list(range(stop, STEPS)), "no step is lost and none is done twice"
        assert (bits(learner), read_json(folder / "history.json")) == uninterrupted
        assert space.log.notes == [f"continues at step {stop}"]


def test_continuing_keeps_the_order_of_the_watched_values(tmp_path):
    with pytest.raises(InterruptedRunError):
        run_toy(tmp_path, at=9, plant=interrupt(signal.SIGINT))
    _, space = run_toy(tmp_path)
    assert list(read_json(tmp_path / "history.json")[0]) == ["step", "loss", "largest"]
    assert list(space.log.steps[0][2]) == ["loss", "largest"]


def test_a_training_stopped_at_every_single_step_ends_in_the_same_bits(tmp_path, uninterrupted):
    for stop in range(STEPS):
        with pytest.raises(InterruptedRunError):
            run_toy(tmp_path, at=stop, plant=interrupt(signal.SIGTERM))
    learner, _ = run_toy(tmp_path)
    assert learner.done == []
    assert (bits(learner), read_json(tmp_path / "history.json")) == uninterrupted


def test_checkpoints_by_the_clock_do_not_change_a_bit_and_two_are_kept(tmp_path, monkeypatch, uninterrupted):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    learner, _ = run_toy(tmp_path)
    assert (bits(learner), read_json(tmp_path / "history.json")) == uninterrupted
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["000000039", "000000040"]


@pytest.mark.parametrize(("saving", "after"), [(0.1, [7, 14, 21, 28, 35, 40]), (0.8, [7, 21, 35, 40])])
def test_checkpoints_are_written_every_twenty_seconds_and_take_a_fiftieth_of_the_time_at_most(
    tmp_path, monkeypatch, saving, after
):
    now, saved = [0.0], []
    original = loop.save_checkpoint

    def save(space, done, *rest):
        now[0] += saving
        saved.append(done)
        original(space, done, *rest)

    class Slow(Toy):
        def step(self, number):
            now[0] += 3.0
            return super().step(number)

    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop, "save_checkpoint", save)
    train(Slow(), workspace(tmp_path), STEPS)
    assert saved == after


def test_other_optimisers_continue_too(tmp_path):
    for name, make in {
        "plain sgd": lambda p: torch.optim.SGD(p, lr=1e-3),
        "momentum": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9),
        "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, amsgrad=True),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, centered=True),
    }.items():
        whole, _ = run_toy(tmp_path / name / "whole", optimizer=make)
        with pytest.raises(InterruptedRunError):
            run_toy(tmp_path / name, at=17, plant=interrupt(signal.SIGINT), optimizer=make)
        continued, _ = run_toy(tmp_path / name, optimizer=make)
        assert bits(continued) == bits(whole), name


def test_an_optimiser_whose_state_cannot_be_saved_is_refused_and_not_silently_forgotten(tmp_path):
    class Counting(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for parameter in group["params"]:
                    self.state[parameter]["steps"] = self.state[parameter].get("steps", 0) + 1
            return super().step(closure)

    with pytest.raises(TypeError, match=r"optimizer 'toy' keeps 'steps' as int; only tensors can be saved"):
        run_toy(tmp_path, optimizer=lambda p: Counting(p, lr=1e-3))


def test_tied_weights_and_a_value_watched_under_two_names_can_be_saved(tmp_path):
    class Tied(Toy):
        def __init__(self, **planted):
            super().__init__(**planted)
            self.networks["again"] = self.networks["toy"]

        def step(self, number):
            loss = super().step(number)["loss"]
            return {"loss": loss, "total": loss}

    with pytest.raises(InterruptedRunError):
        train(Tied(at=7, plant=interrupt(signal.SIGINT)), workspace(tmp_path), STEPS)
    learner = Tied()
    train(learner, workspace(tmp_path), STEPS)
    assert learner.done == list(range(8, STEPS))


@pytest.mark.parametrize("harm", ["flip", "truncate", "missing", "manifest"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, monkeypatch, uninterrupted, harm):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(InterruptedRunError):
        run_toy(tmp_path, at=29, plant=interrupt(signal.SIGINT))
    newest = tmp_path / "checkpoints" / "000000030"
    file = newest / "tensors.safetensors"
    data = bytearray(file.read_bytes())
    if harm == "flip":
        data[len(data) // 2] ^= 4
        file.write_bytes(data)
    elif harm == "truncate":
        file.write_bytes(data[:-1])
    elif harm == "missing":
        file.unlink()
    else:
        (newest / "artifact.json").write_text("{")
    monkeypatch.undo()
    learner, space = run_toy(tmp_path)
    assert learner.done[0] == 29
    assert "checkpoint at step 30 is damaged (" in space.log.notes[0]
    assert space.log.notes[0].endswith("); using the one before it")
    assert space.log.notes[1] == "continues at step 29"
    assert not newest.exists()
    assert (bits(learner), read_json(tmp_path / "history.json")) == uninterrupted


def test_if_every_checkpoint_is_damaged_the_training_begins_again(tmp_path, uninterrupted):
    with pytest.raises(InterruptedRunError):
        run_toy(tmp_path, at=9, plant=interrupt(signal.SIGINT))
    (tmp_path / "checkpoints" / "000000010" / "state.json").write_text("")
    learner, _ = run_toy(tmp_path)
    assert learner.done == list(range(STEPS))
    assert bits(learner) == uninterrupted[0]


def test_a_half_written_checkpoint_is_not_used(tmp_path, uninterrupted):
    draft = tmp_path / "checkpoints" / "draft"
    draft.mkdir(parents=True)
    (draft / "tensors.safetensors").write_bytes(b"half")
    learner, _ = run_toy(tmp_path)
    assert bits(learner) == uninterrupted[0]


def test_other_circumstances_are_told_because_they_change_bits(tmp_path, monkeypatch):
    with pytest.raises(InterruptedRunError):
        run_toy(tmp_path, at=9, plant=interrupt(signal.SIGINT))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    _, space = run_toy(tmp_path)
    assert space.log.notes[1] == "threads 1 -> 7 since the checkpoint; the result can differ in its last digits"


def test_a_full_disk_while_saving_keeps_the_older_checkpoint_and_says_what_is_needed(
    tmp_path, monkeypatch, uninterrupted
):
    with pytest.raises(InterruptedRunError):
        run_toy(tmp_path, at=9, plant=interrupt(signal.SIGINT))

    def full(handle):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StageError, match=r"tensors.safetensors: disk full: needs 0.\d+ MB, [0-9.]+ MB free"):
            run_toy(tmp_path, at=19, plant=interrupt(signal.SIGINT))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["000000010"]
    learner, _ = run_toy(tmp_path)
    assert learner.done[0] == 10
    assert bits(learner) == uninterrupted[0]


def test_a_failure_after_the_last_step_does_not_cost_the_training(tmp_path, uninterrupted):
    run_toy(tmp_path)
    (tmp_path / "history.json").unlink()
    learner, _ = run_toy(tmp_path)
    assert learner.done == []
    assert (bits(learner), read_json(tmp_path / "history.json")) == uninterrupted
    remove_checkpoints(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.json", "training.json"]
    remove_checkpoints(tmp_path)


# The real learners


def pairs(n=6, size=32):
    numbers = np.random.Generator(np.random.Philox(key=4))
    y, x = np.mgrid[:size, :size]
    masks = np.stack([(y - 16) ** 2 + (x - 8 - 2 * i) ** 2 < 70 for i in range(n)])
    return image_set(numbers.uniform(0, 60, (n, size, size, 3)) + 100 + 80 * masks[..., None], masks, "case-")


def mirrored(images, masks, draws):
    flip = draws.boolean("flip")[:, None, None, None]
    return torch.where(flip, images.flip(3), images), torch.where(flip, masks.flip(3), masks)


def fit_unet(folder):
    unet = Unet(width=4, steps=STEPS, batch_size=4, optimizer="adamw", schedule="cosine", loss="bce_dice")
    unet.fit(pairs(), ImageSet.empty((32, 32)), mirrored, workspace(folder))


def fit_gan(folder):
    gan = Mask2Lesion(width=4, patch_layers=1, batch_size=2, epochs=7, decay_epochs=7)  # 42 steps
    gan.fit(pairs(), workspace(folder))


def fit_spade(folder):
    options = {"width": 4, "style": 2, "patch_layers": 1, "spectral_norm": True, "lambda_r1": 1.0}
    Spade(**options, batch_size=2, epochs=7, decay_epochs=7).fit(pairs(), workspace(folder))  # 42 steps


def plant(monkeypatch, learner, at, fault):
    """Let `fault` happen in step `at` of the learner class."""
    original = learner.step

    def step(self, number):
        if number == at:
            fault(self)
        return original(self, number)

    monkeypatch.setattr(learner, "step", step)


def results(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(("fit", "learner"), [(fit_unet, UnetLearner), (fit_gan, PixToPix), (fit_spade, PixToPix)])
def test_the_real_learners_end_in_the_same_bytes_after_interruptions(tmp_path, monkeypatch, fit, learner):
    fit(tmp_path / "whole")
    whole = results(tmp_path / "whole")
    assert len(whole) >= 2
    for stop in (0, 2, 13, 24, 37):
        with monkeypatch.context() as patch:
            plant(patch, learner, stop, interrupt(signal.SIGTERM))
            with pytest.raises(InterruptedRunError) as caught:
                fit(tmp_path / "parts")
            assert caught.value.exit_code == 143
    fit(tmp_path / "parts")
    assert results(tmp_path / "parts") == whole


class AveragedUnet(UnetLearner):
    """The U-Net with everything that has a state or depends on the step: schedule, augmentation, moving average."""

    def __init__(self, folder):
        options = Unet(width=2, steps=STEPS, batch_size=2, optimizer="adamw", schedule="cosine", loss="bce_dice")
        super().__init__(options, pairs(), mirrored, workspace(folder))
        self.average = Ema(self.network)
        self.networks = {"unet": self.network, "average": self.average}

    def step(self, number):
        values = super().step(number)
        self.average.update(self.network, min(0.9, (1 + number) / (10 + number)))
        return values


class AveragedGan(PixToPix):
    """Likewise the GAN: decaying rate, jitter and flips, dropout, moving average of the generator."""

    def __init__(self, folder):
        options = Mask2Lesion(width=4, patch_layers=1, batch_size=2, epochs=7, decay_epochs=7)
        super().__init__(options, pairs(), workspace(folder))
        self.average = Ema(self.generator)
        self.networks = {**self.networks, "average": self.average}

    def step(self, number):
        values = super().step(number)
        self.average.update(self.generator, 0.9)
        return values


@pytest.mark.slow
@pytest.mark.parametrize("make", [AveragedUnet, AveragedGan])
def test_the_real_learners_stopped_after_every_single_step_end_in_the_same_bits(tmp_path, monkeypatch, make):
    whole = make(tmp_path / "whole")
    train(whole, workspace(tmp_path / "whole"), STEPS)
    for stop in range(STEPS - 1):
        learner = make(tmp_path / "parts")
        original = learner.step

        def step(number, original=original, stop=stop):
            if number == stop:
                signal.raise_signal(signal.SIGINT)
            return original(number)

        learner.step = step
        with pytest.raises(InterruptedRunError):
            train(learner, workspace(tmp_path / "parts"), STEPS)
    learner = make(tmp_path / "parts")
    train(learner, workspace(tmp_path / "parts"), STEPS)
    assert bits(learner) == bits(whole)
    assert any(name.startswith("network.average.") for name in bits(whole))
    for name in ("history.json", "training.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_average_follows_the_weights_and_copies_running_statistics():
    with seeded(0):
        network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = Ema(network)
    before = network[0].weight.detach().clone()
    with torch.no_grad():
        network[0].weight += 1
        network[1].running_mean += 3
    average.update(network, 0.75)
    assert torch.allclose(average.network[0].weight, before + 0.25)
    assert torch.equal(average.network[1].running_mean, network[1].running_mean)
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_a_full_disk_while_writing_the_final_weights_does_not_cost_the_training(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("augkit.training.weights.write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            fit_unet(tmp_path / "a")
    plant(monkeypatch, UnetLearner, 0, lambda learner: pytest.fail("it trains again"))
    fit_unet(tmp_path / "a")
    monkeypatch.undo()
    fit_unet(tmp_path / "b")
    assert results(tmp_path / "a") == results(tmp_path / "b")


# Values that are not finite


def saved_tensors(folder):
    for file in folder.rglob("*.safetensors"):
        yield from load_file(file).values()


def from_then_on(fault):
    """A fault that stays, as a divergence does."""

    def plant(toy):
        fault(toy)
        toy.at = None
        steps = toy.step

        def step(number):
            fault(toy)
            return steps(number)

        toy.step = step

    return plant


def twenty_steps(*few):
    """These steps, and others drawn from all but the last ones for a slow test: twenty in all."""
    others = np.random.Generator(np.random.Philox(key=14)).permutation([n for n in range(STEPS - 3) if n not in few])
    return [*few, *(pytest.param(int(step), marks=pytest.mark.slow) for step in sorted(others[: 20 - len(few)]))]


@pytest.mark.parametrize("clock", [1e9, -1.0], ids=["rare checkpoints", "a checkpoint every step"])
@pytest.mark.parametrize("fault", [overflow_loss, poison_gradient, poison_weight])
@pytest.mark.parametrize("at", twenty_steps(0, 25, 36))
def test_a_fault_that_stays_ends_the_training_within_a_log_interval_and_is_never_saved(
    tmp_path, monkeypatch, clock, fault, at
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", clock)
    learner = Toy(at, from_then_on(fault))
    with pytest.raises(DivergedError, match=r"became infinite or not a number\. Lower the learning rate") as caught:
        train(learner, workspace(tmp_path), STEPS)
    assert caught.value.exit_code == 4
    assert max(learner.done) <= at + loop.LOG_EVERY
    assert all(bool(torch.isfinite(tensor).all()) for tensor in saved_tensors(tmp_path))
    assert not (tmp_path / "history.json").exists()
    sound = list((tmp_path / "checkpoints").glob("0*"))
    assert bool(sound) == (clock < 0)


@pytest.mark.parametrize("clock", [1e9, -1.0], ids=["rare checkpoints", "a checkpoint every step"])
@pytest.mark.parametrize("fault", [poison_loss, poison_gradient])
@pytest.mark.parametrize("at", twenty_steps(0, 24, 39))
def test_a_fault_that_does_not_come_again_costs_no_bit(tmp_path, monkeypatch, uninterrupted, clock, fault, at):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", clock)

    def once(toy):
        weight, hooks = toy.networks["toy"][0].weight, set(toy.networks["toy"][0].weight._backward_hooks or ())
        fault(toy)
        toy.at = None
        steps = toy.step

        def step(number):  # the next step is computed on a sound machine
            toy.factor = 1.0
            for hook in set(weight._backward_hooks or ()) - hooks:
                del weight._backward_hooks[hook]
            return steps(number)

        toy.step = step

    learner, space = run_toy(tmp_path, at=at, plant=once)
    assert (bits(learner), read_json(tmp_path / "history.json")) == uninterrupted
    facts = read_json(tmp_path / "training.json")
    assert (facts["back"], facts["skipped"]) == (1, [])
    assert any("became infinite or not a number; goes back to step" in note for note in space.log.notes)


class BrokenSamples(Toy):
    """Some steps always see an input that is not a number."""

    def __init__(self, broken):
        super().__init__()
        self.broken = broken

    def step(self, number):
        self.factor = float("nan") if number in self.broken else 1.0
        return super().step(number)


def test_a_step_that_always_fails_is_left_out_and_recorded(tmp_path, uninterrupted):
    learner, space = BrokenSamples({7}), workspace(tmp_path)
    train(learner, space, STEPS)
    assert bits(learner) != uninterrupted[0]
    expected = Toy()
    for number in range(STEPS):
        if number != 7:
            expected.step(number)
    assert bits(expected) == bits(learner), "as if the step had not been there"
    facts = read_json(tmp_path / "training.json")
    assert (facts["steps"], facts["back"], facts["skipped"]) == (STEPS, 1, [7])
    assert space.log.notes == [
        "step 25: loss became infinite or not a number; goes back to step 0",
        "step 8 is left out: loss became infinite or not a number, again",
    ]


def test_a_training_with_a_step_left_out_is_continued_in_the_same_bits(tmp_path):
    whole = BrokenSamples({7, 30})
    train(whole, workspace(tmp_path / "whole"), STEPS)
    for stop in (3, 7, 8, 26, 29, 30, 31, 38):
        folder, learner = tmp_path / str(stop), BrokenSamples({7, 30})
        learner.at, learner.plant = stop, interrupt(signal.SIGTERM)
        with pytest.raises(InterruptedRunError):
            train(learner, workspace(folder), STEPS)
        continued = BrokenSamples({7, 30})
        train(continued, workspace(folder), STEPS)
        assert bits(continued) == bits(whole), stop
        assert read_json(folder / "training.json")["skipped"] == [7, 30]


def test_more_than_three_steps_that_always_fail_end_the_training(tmp_path):
    train(BrokenSamples({3, 4, 28}), workspace(tmp_path / "three"), STEPS)
    with pytest.raises(DivergedError, match=r"step 31 of 40: loss became infinite or not a number"):
        train(BrokenSamples({3, 4, 28, 30}), workspace(tmp_path / "four"), STEPS)


def test_a_signal_while_values_are_not_finite_saves_nothing_and_ends(tmp_path):
    def both(toy):
        poison_gradient(toy)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="step 4 of 40: interrupted; the last sound state is saved") as caught:
        run_toy(tmp_path, at=3, plant=both)
    assert caught.value.exit_code == 143
    assert list(saved_tensors(tmp_path)) == []


def test_the_host_waits_for_the_device_only_at_log_intervals(tmp_path, monkeypatch):
    waits = []
    for name in ("__float__", "item", "__bool__", "cpu", "tolist", "numpy"):
        original = getattr(torch.Tensor, name)

        def counted(self, *arguments, original=original, name=name, **options):
            waits.append((len(learner.done), name))
            return original(self, *arguments, **options)

        monkeypatch.setattr(torch.Tensor, name, counted)
    learner = Toy(optimizer=lambda p: torch.optim.SGD(p, lr=1e-3))
    train(learner, workspace(tmp_path), STEPS)
    assert {step for step, _ in waits} == {25, 40}


class Waits(TorchDispatchMode):
    """Lists the operations for whose result the host must wait."""

    WAITING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "unique")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function.name().removeprefix("aten::").partition(".")[0]
        chosen = arguments[1] if name in ("index", "index_put_") else ()
        by_mask = any(part is not None and part.dtype == torch.bool for part in chosen)
        if name in self.WAITING or "unique" in name or by_mask:
            self.found.append(name)
        return function(*arguments, **(options or {}))


def test_the_counter_of_waits_counts():
    with Waits() as waits:
        x = torch.ones(3)
        float(x.sum())
        bool((x > 0).all())
        x[x > 0]
    assert waits.found == ["_local_scalar_dense", "_local_scalar_dense", "index"]


@pytest.mark.parametrize("make", [AveragedUnet, AveragedGan])
def test_the_steps_of_the_real_learners_never_wait_for_the_device(tmp_path, make):
    learner = make(tmp_path)
    state = State(learner, "cpu")
    with Waits() as waits:
        for number in range(8):  # over the end of an epoch
            state.add(learner.step(number))
    assert waits.found == []


# Signals

FORKING = """
    import os, sys, time
    from pathlib import Path
    sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
    import torch
    from test_loop import Toy, bits, train, workspace
    from augkit.errors import InterruptedRunError
    torch.set_num_threads(1)

    class Slow(Toy):
        def step(self, number):
            if number == 3:
                print(os.getpid(), flush=True)
            time.sleep(seconds if number >= 3 else 0)
            return super().step(number)

    for line in sys.stdin:  # one process per line, so that torch is imported once
        seconds, folder = line.rstrip().split(" ", 1)
        seconds = float(seconds)
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            continue
        try:
            train(Slow(), workspace(Path(folder)), 40)
        except InterruptedRunError as error:
            os._exit(error.exit_code)
        os._exit(0)
"""


@pytest.fixture(scope="module")
def forking():
    command = [sys.executable, "-c", textwrap.dedent(FORKING), Path(__file__).parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def start(process, folder, seconds):
    """Return the id of a process that trains in `folder` and sleeps in every step from the fourth on."""
    process.stdin.write(f"{seconds} {folder}\n")
    process.stdin.flush()
    return int(process.stdout.readline())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_process_with_its_code_and_the_state_saved(tmp_path, forking, uninterrupted, number, code):
    child = start(forking, tmp_path, 0.05)
    time.sleep(0.12)
    os.kill(child, number)
    assert int(forking.stdout.readline()) == code
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    learner, _ = run_toy(tmp_path)
    assert learner.done[0] == int(checkpoint.name) >= 4
    assert (bits(learner), read_json(tmp_path / "history.json")) == uninterrupted


def test_a_second_signal_ends_the_process_at_once(tmp_path, forking):
    child = start(forking, tmp_path, 30)
    os.kill(child, signal.SIGTERM)
    time.sleep(0.3)
    os.kill(child, 0)  # still there: the first signal waits for the end of the step
    began = time.monotonic()
    os.kill(child, signal.SIGINT)
    assert int(forking.stdout.readline()) == 130
    assert time.monotonic() - began < 10, "the step alone takes thirty"


def test_a_signal_in_the_last_step_is_not_lost(tmp_path, uninterrupted):
    with pytest.raises(InterruptedRunError, match="step 40 of 40: interrupted; the state is saved") as caught:
        run_toy(tmp_path, at=STEPS - 1, plant=interrupt(signal.SIGINT))
    assert caught.value.exit_code == 130
    learner, _ = run_toy(tmp_path)
    assert learner.done == []
    assert (bits(learner), read_json(tmp_path / "history.json")) == uninterrupted


def test_a_signal_after_the_last_step_reaches_whoever_handled_it_before(tmp_path, monkeypatch):
    original = loop.save_checkpoint

    def save(space, done, tensors, facts):
        original(space, done, tensors, facts)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(loop, "save_checkpoint", save)
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path)
    assert (tmp_path / "checkpoints" / "000000040").is_dir()


def test_the_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run_toy(tmp_path / "a")
    with pytest.raises(DivergedError):
        run_toy(tmp_path / "b", at=3, plant=from_then_on(poison_loss))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


# Batches


def numbered(n):
    """Images whose pixels say which sample they are."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 4, 4, 3)).copy()
    masks = np.broadcast_to((np.arange(n) % 2 == 0)[:, None, None], (n, 4, 4)).copy()
    return image_set(images, masks, "id-")


def members(batch):
    return (batch.images[:, 0, 0, 0] * 255).round().int().tolist()


@pytest.mark.parametrize(("n", "size"), [(12, 4), (10, 4), (7, 1), (5, 5), (3, 8), (1, 2), (97, 32)])
def test_every_batch_is_full_and_every_sample_is_seen_once_per_epoch(n, size):
    batches = Batches(numbered(n), size, 3, "cpu")
    sequence = []
    for number in range(4 * n):
        batch = batches.at(number)
        assert batch.images.shape == (size, 3, 4, 4)
        assert batch.masks.shape == (size, 1, 4, 4)
        sequence += members(batch)
    epochs = [sequence[begin : begin + n] for begin in range(0, len(sequence), n)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs if len(epoch) == n)
    if n > 5:
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs), "the order changes from epoch to epoch"


def test_a_batch_depends_on_its_number_alone():
    onwards = Batches(numbered(10), 4, 3, "cpu")
    expected = [onwards.at(number) for number in range(20)]
    for number in (19, 3, 0, 7, 7, 12, 1):
        for batches in (onwards, Batches(numbered(10), 4, 3, "cpu")):
            batch = batches.at(number)
            assert torch.equal(batch.images, expected[number].images)
            assert torch.equal(batch.draws.keys, expected[number].draws.keys)


def test_images_masks_and_draws_of_a_batch_belong_together():
    data = numbered(10)
    batches = Batches(data, 4, 3, "cpu")
    seen = {}
    for number in range(5):  # two epochs
        batch = batches.at(number)
        for i, key in zip(members(batch), batch.draws.keys.tolist(), strict=True):
            seen.setdefault(i, set()).add(key)
        assert batch.masks[:, 0, 0, 0].tolist() == [float(i % 2 == 0) for i in members(batch)]
    assert all(len(keys) == 2 for keys in seen.values()), "one set of numbers per sample and epoch"
    assert len(set.union(*seen.values())) == 20


def test_the_order_depends_on_the_seed_and_the_draws_of_a_sample_not_on_its_position():
    assert members(Batches(numbered(50), 50, 3, "cpu").at(0)) != members(Batches(numbered(50), 50, 4, "cpu").at(0))
    turned = numbered(10).take(range(9, -1, -1))
    first, second = Batches(numbered(10), 10, 3, "cpu").at(0), Batches(turned, 10, 3, "cpu").at(0)
    assert members(first) == members(second)
    assert torch.equal(first.draws.keys, second.draws.keys)


def test_pixels_are_scaled_to_0_1_and_read_only_data_is_accepted(tmp_path):
    data = numbered(3)
    data.images[:] = 255
    data.images.flags.writeable = data.masks.flags.writeable = False
    batch = Batches(data, 3, 0, "cpu").at(0)
    assert (batch.images.dtype, batch.masks.dtype) == (torch.float32, torch.float32)
    assert float(batch.images.min()) == 1.0


def test_batches_that_do_not_fit_the_device_are_sent_one_by_one_with_the_same_bits(monkeypatch):
    resident = Batches(numbered(10), 4, 3, "cpu")
    monkeypatch.setattr("augkit.training.batches.free_memory", lambda device: 0)
    mapped = Batches(numbered(10), 4, 3, "cpu")
    assert type(mapped._pixels) is not type(resident._pixels)
    for number in range(7):
        for part in (slice(None), slice(1, 3)):
            first, second = resident.at(number, part), mapped.at(number, part)
            for name, layout in (("images", torch.channels_last), ("masks", torch.contiguous_format)):
                assert torch.equal(getattr(first, name), getattr(second, name))
                for batch in (first, second):
                    assert getattr(batch, name).is_contiguous(memory_format=layout), "the layout can decide bits"
            assert torch.equal(first.draws.keys, second.draws.keys)


def test_half_of_the_free_memory_decides_what_fits(monkeypatch):
    data = numbered(10)
    needed = data.images.nbytes + data.masks.nbytes
    for free, kind in ((2 * needed, "_Resident"), (2 * needed - 2, "_Mapped")):
        monkeypatch.setattr("augkit.training.batches.free_memory", lambda device, free=free: free)
        assert type(Batches(data, 4, 3, "cpu")._pixels).__name__ == kind


# Precision


@pytest.mark.parametrize(
    ("wanted", "native", "precision"),
    [
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),
        ("float32", True, "float32"),
        ("bfloat16", False, "bfloat16"),
    ],
)
def test_the_hardware_decides_the_precision_unless_it_is_named(monkeypatch, wanted, native, precision):
    monkeypatch.setenv("AUGKIT_PRECISION", wanted)
    monkeypatch.setattr("augkit.training.precision.has_native_bfloat16", lambda device: native)
    assert choose_precision("cpu") == precision
    with autocast("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert str(product.dtype) == f"torch.{precision}"


def test_an_unknown_precision_is_refused(monkeypatch):
    monkeypatch.setenv("AUGKIT_PRECISION", "float16")
    with pytest.raises(InputError, match="AUGKIT_PRECISION: found 'float16'; allowed: auto, float32, bfloat16"):
        choose_precision("cpu")


def test_in_bfloat16_weights_statistics_losses_and_optimiser_states_stay_float32(tmp_path, monkeypatch):
    monkeypatch.setenv("AUGKIT_PRECISION", "bfloat16")
    for make in (AveragedUnet, AveragedGan):
        learner = make(tmp_path / make.__name__)
        values = learner.step(0)
        assert {value.dtype for value in values.values()} == {torch.float32}
        tensors = State(learner, "cpu").tensors()
        assert {tensor.dtype for tensor in tensors.values()} <= {torch.float32, torch.int64}


def test_another_precision_is_told_on_resume_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("AUGKIT_PRECISION", "float32")
    with pytest.raises(InterruptedRunError):
        run_toy(tmp_path, at=9, plant=interrupt(signal.SIGINT))
    monkeypatch.setenv("AUGKIT_PRECISION", "bfloat16")
    _, space = run_toy(tmp_path)
    told = "precision float32 -> bfloat16"
    assert space.log.notes[1] == f"{told} since the checkpoint; the result can differ in its last digits"
    facts = read_json(tmp_path / "training.json")
    assert facts["changes"] == [f"step 10: {told}"]
    assert facts["circumstances"]["precision"] == "bfloat16"
    assert facts["circumstances"]["optimizer of toy"] == "fused Adam"


def fake_compiler(monkeypatch, call):
    monkeypatch.setattr(nn.Module, "compile", lambda self, options: setattr(self, "_compiled_call_impl", call(self)))


def test_only_a_training_that_repays_it_is_compiled_and_that_is_recorded(tmp_path, monkeypatch):
    fake_compiler(monkeypatch, lambda network: network._call_impl)
    per_step = 4 * operations(4, Format(), (32, 32))
    layout = "contiguous" if memory_layout("cpu") == torch.contiguous_format else "channels last"
    for name, limit in (("short", per_step * STEPS + 1), ("long", per_step * STEPS)):
        monkeypatch.setattr("augkit.training.precision.COMPILE_ABOVE", {("cpu", choose_precision("cpu")): limit})
        fit_unet(tmp_path / name)
        facts = read_json(tmp_path / name / "training.json")["circumstances"]
        assert facts["layout of unet"] == layout + (", compiled" if name == "long" else "")
    weights = [(tmp_path / name / "unet.safetensors").read_bytes() for name in ("short", "long")]
    assert weights[0] == weights[1], "trying to compile leaves the running statistics alone"


def test_where_the_network_cannot_be_compiled_it_trains_as_it_is_and_says_so(tmp_path, monkeypatch):
    def broken(network):
        def call(*arguments):
            raise RuntimeError("no C++ compiler")

        return call

    fake_compiler(monkeypatch, broken)
    monkeypatch.setattr("augkit.training.precision.COMPILE_ABOVE", {("cpu", choose_precision("cpu")): 0.0})
    space = workspace(tmp_path)
    learner = UnetLearner(Unet(width=2, steps=2, batch_size=2), pairs(), mirrored, space)
    train(learner, space, 2)
    assert space.log.notes == ["cannot compile the network here (RuntimeError); trains a tenth slower"]


# Generators and devices


def test_seeded_gives_the_same_weights_and_leaves_the_global_generators_alone():
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    with seeded(7):
        first = nn.Linear(5, 5).weight
    assert states() == before
    with seeded(7):
        assert torch.equal(nn.Linear(5, 5).weight, first)
    with pytest.raises(ValueError, match="negative"), seeded(7):
        raise ValueError("negative")
    assert states() == before
    with seeded(8):
        assert not torch.equal(nn.Linear(5, 5).weight, first)


def test_training_leaves_the_global_generators_and_the_determinism_setting_alone(tmp_path):
    before = torch.get_rng_state().tolist(), torch.are_deterministic_algorithms_enabled()
    fit_unet(tmp_path / "unet")
    fit_gan(tmp_path / "gan")
    assert (torch.get_rng_state().tolist(), torch.are_deterministic_algorithms_enabled()) == before


@pytest.mark.parametrize("name", ["meta", "gpu", "", "cuda:99", "cpu:x", "xla"])
def test_a_device_that_cannot_be_used_is_refused(name):
    with pytest.raises(InputError, match=f"--device {name}: not usable: .*. Allowed: auto, cpu, cuda, mps"):
        choose_device(name)


def test_the_processor_is_always_there():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda", "mps")


def test_nothing_is_held_after_a_training(tmp_path):
    """Slow leaks show as file handles, threads and live networks that grow with the number of runs."""

    def held():
        gc.collect()
        networks = sum(type(thing) is nn.Linear for thing in gc.get_objects())
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), networks

    run_toy(tmp_path / "warm")
    before = held()
    for i in range(5):
        run_toy(tmp_path / str(i))
    assert held() == before
