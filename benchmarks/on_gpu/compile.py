"""What compiling a U-Net's step costs and saves, steps being recorded as CUDA graphs, and when that is repaid."""

import time

from augkit import Format
from augkit.training.precision import compile_in_place, reproducible
from augkit_classical.presets import ClassicalPaper
from augkit_phantom import Phantom
from augkit_unet.segmenter import Unet
from augkit_unet.training import UnetLearner, operations
from on_gpu.part import Part, begin
from on_gpu.speed import rate, space
from training import PLANNED

PATIENCE = 1.5


def measure(part: Part) -> None:
    """Measure two sizes of network."""
    for width, size in ((2, 32),) if part.tiny else ((64, 128), (16, 64)):
        name = f"width {width}, {size} px"
        batch = 2 if part.tiny else 32
        samples = Phantom(train=4 * batch, test=1, size=size).load().train
        options = Unet(width=width, batch_size=batch, steps=PLANNED)
        as_it_is, compiled = (UnetLearner(options, samples, ClassicalPaper(), space(part)) for _ in range(2))
        compile_in_place(compiled.network)
        part.wait()
        began = time.monotonic()
        with reproducible():
            for number in range(5):
                compiled.step(number)
        part.wait()
        spent = time.monotonic() - began
        slow, fast = rate(part, as_it_is, batch), rate(part, compiled, batch)
        part.keep(f"{name}, images/s", slow)
        part.keep(f"{name}, compiled, images/s", fast)
        part.keep(f"{name}, seconds to compile", spent)
        if fast > slow:
            repaid = spent / (1 / slow - 1 / fast) * operations(width, Format(), (size, size))
            part.keep(f"{name}, operations that repay it", repaid)
        if part.left() < PATIENCE * spent:
            return


if __name__ == "__main__":
    begin("compile", measure)
