"""An exponential moving average of a network, kept as a network of its own."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Ema(nn.Module):
    """The moving average of a network's weights, float32, as a twin of the network in `network`.

    Put it among a learner's `networks` under a name of its own: then it is in every checkpoint, and continued to the
    bit. Call `update` at the end of each step. Weights are averaged; buffers, such as a norm's running statistics, are
    averages already and are copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float) -> None:
        """Move towards the network: average = decay * average + (1 - decay) * weights.

        A warm-up is a `decay` that is a function of the step's number, such as ``min(0.999, (1 + n) / (10 + n))``.
        """
        mine: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(mine, [weight.detach() for weight in network.parameters()], 1 - decay)
        for buffer, new in zip(self.network.buffers(), network.buffers(), strict=True):
            buffer.copy_(new)
