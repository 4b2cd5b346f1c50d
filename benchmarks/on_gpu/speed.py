"""How fast steps, augmentation and painting are, beside the measured peak of the card and plain twins."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from augkit import Augment, Draws, Format, ImageSet, Workspace
from augkit.contracts.components import SilentLog
from augkit.training import Learner, graphs
from augkit.training.batches import Batch, Batches
from augkit.training.precision import reproducible
from augkit_classical.presets import ClassicalPaper, ClassicalStrong
from augkit_flow.distillation import LESSONS, DistilledLearner
from augkit_flow.generator import DistilledFlow, Flow
from augkit_flow.network import StudentNetwork
from augkit_flow.painter import Painter as FlowPainter
from augkit_flow.painter import StudentPainter
from augkit_flow.training import FlowLearner
from augkit_mask2lesion.generator import Mask2Lesion
from augkit_mask2lesion.learner import PixToPix
from augkit_mask2lesion.painter import Painter
from augkit_mask2lesion.presets import Fast128, Spade
from augkit_phantom import Phantom
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner, operations
from augmentation import pipeline
from gan import Twin
from on_gpu.part import Part, begin
from training import PLANNED, peak

AFFINE_AND_COLOUR = 2
"""Row of `augmentation.ROWS`."""

STRONG = ClassicalStrong()

_SHOWN = 30


def measure(part: Part) -> None:
    """Measure everything."""
    size = 32 if part.tiny else 128
    samples = Phantom(train=64 if part.tiny else 512, test=1, size=size).load().train
    ceiling = peak(part.device)
    part.keep("bf16 product, TFLOP/s", ceiling / 1e12)
    unets(part, samples, ceiling)
    gans(part, samples, ceiling)
    augmentation(part, samples)
    painting(part, samples)
    distilling(part, samples)


def unets(part: Part, samples: ImageSet, ceiling: float) -> None:
    """Measure U-Net steps, recorded as a CUDA graph and not, with the share of the peak."""
    for width, batch in ((4, 4),) if part.tiny else ((64, 32), (64, 128), (16, 32)):
        name = f"unet, width {width}, batch {batch}"
        for kind, warm_up in (("", graphs.WARM_UP), (", not recorded", 10**9)):
            with recorded_after(warm_up):
                learner = unet(part, samples, width, batch)
                speed = rate(part, learner, batch)
            part.keep(f"{name}{kind}, images/s", speed)
            if not kind:
                part.keep(f"{name}, share of peak", speed * operations(width, Format(), samples.size) / ceiling)
    width, batch = (4, 4) if part.tiny else (64, 32)
    speed = rate(part, unet(part, samples, width, batch, ClassicalPaper()), batch)
    part.keep(f"unet, width {width}, batch {batch}, the paper's augmentations, images/s", speed)
    share = speed * operations(width, Format(), samples.size) / ceiling
    part.keep(f"unet, width {width}, batch {batch}, the paper's augmentations, share of peak", share)
    with recorded_after(10**9):
        part.keep("unet, kernels", profiled(part, unet(part, samples, width, batch)))


def unet(part: Part, samples: ImageSet, width: int, batch: int, augment: Augment = STRONG) -> UnetLearner:
    """Return a learner, with the strong augmentations unless others are named."""
    return UnetLearner(Unet(width=width, batch_size=batch, steps=PLANNED), samples, augment, space(part))


def gans(part: Part, samples: ImageSet, ceiling: float) -> None:
    """Measure steps of GANs and of flow, and of a plain twin where there is one."""
    width = 4 if part.tiny else 64
    for batch in (2, 4) if part.tiny else (1, 32):
        options = Mask2Lesion(width=width, norm="instance", batch_size=batch, epochs=10**6)
        ours = rate(part, PixToPix(options, samples, space(part)), batch)
        part.keep(f"gan, width {width}, batch {batch}, images/s", ours)
        if samples.size[0] == 128:
            twin = Twin(samples, width, batch, part.device)
            theirs = per_second(part, twin.step, batch)
            part.keep(f"gan, width {width}, batch {batch}, times as fast as its plain twin", ours / theirs)
    makers: dict[str, Callable[[], Learner]] = {
        "fast128": lambda: PixToPix(Fast128(epochs=10**6, width=width), samples, space(part)),
        "spade": lambda: PixToPix(Spade(epochs=10**6, width=width), samples, space(part)),
        "flow": lambda: FlowLearner(Flow(steps=10**6, width=max(width, 8)), samples, space(part)),
    }
    batches = {"fast128": 16, "spade": 8, "flow": 32}
    for name, make in makers.items():
        learner = make()
        with reproducible(), FlopCounterMode(display=False) as counter:
            learner.step(0)
        speed = rate(part, learner, batches[name])
        part.keep(f"{name}, images/s", speed)
        part.keep(f"{name}, share of peak", speed / batches[name] * counter.get_total_flops() / ceiling)
    with recorded_after(10**9):
        part.keep("fast128, kernels", profiled(part, makers["fast128"]()))


def augmentation(part: Part, samples: ImageSet) -> None:
    """Measure pairs per second of affine + colour, and its share of the step of a U-Net."""
    chain, size = pipeline(AFFINE_AND_COLOUR), 64 if part.tiny else 512
    numbers = itertools.count()

    def change(parts: graphs.Inputs) -> dict[str, Tensor]:
        images, masks, _ = Batch.of(parts[0]).augmented(chain)
        return {"images": images, "masks": masks}

    def pairs_per_second(size: int) -> float:
        batches, recorded = Batches(samples, size, 0, part.device), graphs.Recorded(change, [], space(part))
        with reproducible():
            return per_second(part, lambda: recorded([batches.at(next(numbers)).tensors()]), size)

    part.keep(f"affine + colour, batches of {size}, pairs/s", pairs_per_second(size))
    width, batch = (4, 4) if part.tiny else (64, 32)
    alone = batch / pairs_per_second(batch)
    learner = UnetLearner(Unet(width=width, batch_size=batch, steps=PLANNED), samples, chain, space(part))
    part.keep(
        f"affine + colour, batch {batch}, of a step of width {width}", alone / (batch / rate(part, learner, batch))
    )


def painting(part: Part, samples: ImageSet) -> None:
    """Measure images per second that generators paint, and those that arrive on the host."""
    width, count = (4, 64) if part.tiny else (64, 2048)
    masks = np.resize(np.asarray(samples.masks), (count, *samples.size))
    draws = Draws.of(0, "benchmark", np.arange(count))
    gan = PixToPix(Mask2Lesion(width=width, norm="instance", epochs=1), samples, space(part))
    painter = Painter(*gan.trained(samples), samples.format, "nearest", "nearest", part.device)
    part.keep("mask2lesion paints, images/s", per_second(part, lambda: painter(masks, draws), count))
    flow = FlowLearner(Flow(width=max(width, 8), steps=9), samples, space(part))
    as_set = Flow()
    by_flow = FlowPainter(flow.network, as_set.solver, as_set.solver_steps, as_set.guidance, part.device)
    student = DistilledLearner(distilled_flow(part), samples, space(part)).painting.network
    assert isinstance(student, StudentNetwork)
    at_once = StudentPainter(student, part.device)
    part.keep("flow-distilled paints, images/s", per_second(part, lambda: at_once(masks, draws), count))
    few = masks[: count // 8]
    part.keep("flow paints, images/s", per_second(part, lambda: by_flow(few, draws[: count // 8]), len(few)))


def distilling(part: Part, samples: ImageSet) -> None:
    """Measure images per second from which a student learns, what its flow paints for it meanwhile counted in."""
    options = distilled_flow(part)
    learner = DistilledLearner(options, samples, space(part))
    with reproducible():
        for number in range(options.steps + LESSONS):
            learner.step(number)
        part.wait()
        began = time.perf_counter()
        for number in range(options.steps + LESSONS, options.steps + 2 * LESSONS):
            learner.step(number)
        part.wait()
    part.keep("flow-distilled's student, images/s", LESSONS * options.batch_size / (time.perf_counter() - began))


def distilled_flow(part: Part) -> DistilledFlow:
    """Return options whose student learns from the second step on."""
    if part.tiny:
        return DistilledFlow(width=8, student_width=8, steps=1, batch_size=2)
    return DistilledFlow(steps=1)


def space(part: Part) -> Workspace:
    """Return a workspace whose folder is not used."""
    return Workspace(Path(tempfile.gettempdir()), 0, part.device, SilentLog())


@contextmanager
def recorded_after(calls: int) -> Iterator[None]:
    """Let steps be recorded after so many calls."""
    before, graphs.WARM_UP = graphs.WARM_UP, calls
    try:
        yield
    finally:
        graphs.WARM_UP = before


def rate(part: Part, learner: Learner, batch: int) -> float:
    """Return images per second of a learner's steps."""
    numbers = itertools.count()
    with reproducible():
        return per_second(part, lambda: learner.step(next(numbers)), batch)


def per_second(part: Part, call: Callable[[], object], images: int) -> float:
    """Return images per second: the median of three rounds, after a warm-up."""
    for _ in range(2 if part.tiny else 6):
        call()
    part.wait()
    began = time.perf_counter()
    call()
    part.wait()
    calls = 1 if part.tiny else max(2, round(0.6 / (time.perf_counter() - began)))
    found = []
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(calls):
            call()
        part.wait()
        found.append(calls * images / (time.perf_counter() - began))
    return statistics.median(found)


def profiled(part: Part, learner: Learner) -> list[str]:
    """Return the kernels that take longest in five steps: share of the time, calls per step, name."""
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * part.device.startswith("cuda")
    with reproducible():
        for number in range(3):
            learner.step(number)
        part.wait()
        with profile(activities=kinds) as seen:
            for number in range(3, 8):
                learner.step(number)
            part.wait()
    key = "self_device_time_total" if part.device.startswith("cuda") else "self_cpu_time_total"
    rows = sorted(seen.key_averages(), key=lambda row: -getattr(row, key))
    if part.device.startswith("cuda"):
        rows = [row for row in rows if str(row.device_type).endswith("CUDA")]
    total = sum(getattr(row, key) for row in rows) or 1.0
    head = [f"{total / 5e3:.3f} ms per step, {sum(row.count for row in rows) / 5:.0f} calls"]
    return head + [f"{getattr(row, key) / total:6.1%} {row.count / 5:6.1f} {row.key[:110]}" for row in rows[:_SHOWN]]


if __name__ == "__main__":
    begin("speed", measure)
