"""Steps recorded as CUDA graphs: what a GPU was told to do once, it is told again in one call.

A step of a small network is hundreds of short operations, and launching them one by one takes longer than computing
them. Everything random comes from keys, which are tensors, so a recorded step draws new numbers whenever it is given
new keys; and it is the same operations in the same order, so it ends in the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from augkit.contracts.components import Workspace
from augkit.training import ranks

WARM_UP = 3
"""Calls with the same states of optimisers before one is recorded: in them libraries prepare themselves."""

Inputs = Sequence[Sequence[Tensor]]
"""Groups of tensors, such as the parts of a batch."""

Values = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Recording:
    """A graph, and the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    read: list[Tensor]
    written: Values


class Recorded:
    """A part of a training step that is recorded on a GPU and replayed there; elsewhere it is called as it is.

    Nothing may depend on the host but what never changes, such as shapes and options. Learning rates are tensors, see
    `learning_rate`. What cannot be recorded, because it waits for the device, goes on as it is, and the log says so; a
    recorded part of it then still is. Among several processes nothing is recorded.
    """

    def __init__(
        self, function: Callable[[Inputs], Values], optimizers: Sequence[torch.optim.Optimizer], space: Workspace
    ) -> None:
        """`optimizers`: those that the function steps.

        Their first step makes their states, and a training that goes back gives them others or none. A recording is of
        the states that it was made with, and one of a first step would make them anew whenever it is replayed.
        """
        self._function = function
        self._optimizers = optimizers
        self._space = space
        self._states: list[Tensor] = []
        self._waits = WARM_UP
        self._recording: _Recording | None = None
        self._stream: torch.cuda.Stream | None = None
        if space.device.startswith("cuda") and ranks.world() == 1:
            self._stream = torch.cuda.Stream(space.device)  # type: ignore[no-untyped-call]

    def __call__(self, inputs: Inputs) -> Values:
        """Return what the function returns for the inputs, which have the shapes of the first ones."""
        if self._stream is None or torch.cuda.is_current_stream_capturing():
            return self._function(inputs)
        states = _states(self._optimizers)
        if not _same(self._states, states):
            self._states, self._recording, self._waits = states, None, WARM_UP
        if self._waits > 0:
            self._waits -= 1
            return self._aside(self._stream, inputs)
        if self._recording is None:
            self._recording = self._record(self._stream, inputs)
        if self._recording is None:
            return self._function(inputs)
        torch._foreach_copy_(self._recording.read, _tensors(inputs))
        self._recording.graph.replay()
        return {name: value.clone() for name, value in self._recording.written.items()}

    def _aside(self, stream: torch.cuda.Stream, inputs: Inputs) -> Values:
        """Call the function on the stream on which it will be recorded."""
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        with torch.cuda.stream(stream):
            values = self._function(inputs)
        torch.cuda.current_stream(stream.device).wait_stream(stream)
        return values

    def _record(self, stream: torch.cuda.Stream, inputs: Inputs) -> _Recording | None:
        """Return the recording of a call, which computes nothing; None, for ever, where that is not possible."""
        graph = torch.cuda.CUDAGraph()
        read = [tensor.clone() for tensor in _tensors(inputs)]
        try:
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                values = self._function(_filled(inputs, read))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            self._space.log.note(
                f"a part of the steps cannot be recorded as a CUDA graph and is slower for it: {reason}"
            )
            self._stream = None
            return None
        return _Recording(graph, read, values)


def learning_rate(value: float, device: str) -> float | Tensor:
    """Return a learning rate for an optimiser on the device: where steps are recorded, a tensor that can change."""
    return torch.tensor(value, device=device) if device.startswith("cuda") else value


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give an optimiser another learning rate."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def _states(optimizers: Sequence[torch.optim.Optimizer]) -> list[Tensor]:
    states = [state for optimizer in optimizers for state in optimizer.state.values()]
    return [value for state in states for value in state.values() if value is not None]


def _tensors(inputs: Inputs) -> list[Tensor]:
    return [tensor for group in inputs for tensor in group]


def _filled(inputs: Inputs, tensors: Sequence[Tensor]) -> Inputs:
    """Return groups like those of `inputs`, of other tensors."""
    others = iter(tensors)
    return [[next(others) for _ in group] for group in inputs]


def _same(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))
