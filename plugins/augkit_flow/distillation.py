"""A student that learns, from what the flow paints, to paint at once (Luhman & Luhman 2021, arXiv:2101.02388)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from augkit import Draws, ImageSet, Workspace
from augkit.training import Batch, Ema, Inputs, Recorded, autocast, seeded, set_learning_rate, settle, train
from augkit_flow.distance import PatchDistance
from augkit_flow.network import FlowNetwork, StudentNetwork
from augkit_flow.options import DistilledOptions
from augkit_flow.painter import Painter, save_network
from augkit_flow.training import FlowLearner, adam, decay, descend, rate

_PAINTED = 32
"""Batches that the flow paints in a row."""

_USES = 4
"""How often the student sees each of them, every time in another order."""

LESSONS = _PAINTED * _USES
"""Steps of the student from one painting of the flow to the next."""


def fit(options: DistilledOptions, samples: ImageSet, space: Workspace) -> None:
    """Train a flow and then its student, and write the average of the student's weights."""
    learner = DistilledLearner(options, samples, space)
    train(learner, space, options.steps + options.student_steps)
    save_network(learner.painting.network, options.student_width, samples.size, samples.format, space.folder)


class DistilledLearner(FlowLearner):
    """The steps of a flow; in those after, its average paints, and a student learns what became of mask and noise.

    painting: the average of the student's weights.
    """

    options: DistilledOptions

    def __init__(self, options: DistilledOptions, samples: ImageSet, space: Workspace) -> None:
        super().__init__(options, samples, space)
        with seeded(space.seed):
            student = StudentNetwork(options.student_width, samples.size, samples.format)
        student.spectrum.load_state_dict(self.network.spectrum.state_dict())
        self.student = settle(student, space.device, torch.channels_last)
        self.painting = Ema(self.student)
        self.networks = {**self.networks, "student": self.student, "painting": self.painting}
        self._learning = adam(self.student, options.learning_rate, space.device)
        self.optimizers = {**self.optimizers, "student": self._learning}
        self._distance = PatchDistance(self.student.spectrum, samples.images, space.device)
        flow = self.average.network
        assert isinstance(flow, FlowNetwork)
        self._flow = Painter(flow, options.solver, options.solver_steps, options.guidance, space.device)
        self._learn = Recorded(self._learn_on, [self._learning], space)
        self._painted: tuple[int, Sequence[Tensor]] = -1, ()

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Let the flow descend, or after its steps the student; returns the loss."""
        done = number - self.options.steps
        if done < 0:
            return super().step(number)
        set_learning_rate(self._learning, self.options.learning_rate * rate(done, self.options.student_steps))
        seen = self._learn([self._lesson(done)])
        self.painting.update(self.student, decay(done, self.options.ema))
        return seen

    def _lesson(self, number: int) -> Sequence[Tensor]:
        """Return what the student learns in one of its steps: images, masks and keys, as `_paint`."""
        lot, within = divmod(number, LESSONS)
        # A continued training paints what it has lost once more, to the same bits.
        if self._painted[0] != lot:
            self._painted = lot, self._paint(self.options.steps + lot * _PAINTED)
        painted = self._painted[1]
        use, batch = divmod(within, _PAINTED)
        order = torch.argsort(Draws(painted[2]).bits(f"use {use}"), stable=True)
        chosen = order[batch * self.options.batch_size : (batch + 1) * self.options.batch_size]
        return [tensor.index_select(0, chosen) for tensor in painted]

    @torch.no_grad()
    def _paint(self, first: int) -> Sequence[Tensor]:
        """Return what the flow paints for the masks of batches: normalised images, masks in {-1, 1}, and keys."""
        parts = [self._paint_batch(self._batches.at(first + k)) for k in range(_PAINTED)]
        return [torch.cat(tensors) for tensors in zip(*parts, strict=True)]

    def _paint_batch(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        masks = self._masks(batch)
        return self._flow.paint(self._noise(batch.draws.keys), masks), masks, batch.draws.keys

    def _noise(self, keys: Tensor) -> Tensor:
        return Draws(keys).normal("noise", shape=tuple(self.student.spectrum.power.shape))

    def _learn_on(self, lessons: Inputs) -> Mapping[str, Tensor]:
        """Do `step` on images, masks and keys."""
        images, masks, keys = lessons[0]
        with autocast(self._device):
            painted: Tensor = self.student(self._noise(keys), masks)
        loss = self._distance(painted, images)
        descend(self._learning, loss)
        return {"distance to the flow": loss.detach()}
