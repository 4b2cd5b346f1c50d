"""Training nnU-Net: its own steps, in the loop that checkpoints and resumes.

A batch is drawn by nnU-Net's loader and augmented by its transforms, with random numbers that belong to the step's
number, so that a training that was interrupted ends in the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augkit import ImageSet, Workspace
from augkit.store import read_json, remove_folder, write_bytes, write_json
from augkit.training import Budget, as_safetensors, train, write_format
from augkit_nnunet.batches import Ahead, Numbered
from augkit_nnunet.options import INFERENCE, WEIGHTS, NnunetOptions
from augkit_nnunet.planning import plan
from augkit_nnunet.trainer import Trainer, make_trainer

_TRAINING, _VALIDATING = 1, 2
"""What random numbers are for; 0 is making the trainer."""


def fit(options: NnunetOptions, samples: ImageSet, validation: ImageSet, space: Workspace) -> None:
    """Plan and train, and write what inference needs, the fingerprint, and ``budget.json``."""
    work = space.folder / "nnunet"
    remove_folder(work)  # of a process that was killed
    write_format(space.folder, samples.format)
    plans, dataset = plan(options, samples, work, space.folder)
    trainer = make_trainer(options, plans, dataset, (samples, validation), work, space.seed, space.device)
    remove_folder(work)
    learner = NnunetLearner(trainer, options, bool(len(validation)), space.seed)
    train(learner, space, options.steps)
    _tell_precision(space)
    write_json(space.folder / "budget.json", Budget("steps", options.steps, trainer.batch_size, len(samples)).facts())
    axes = [int(axis) for axis in trainer.inference_allowed_mirroring_axes]
    write_json(space.folder / INFERENCE, {"mirror": axes, "nnunetv2": version("nnunetv2")})
    write_bytes(space.folder / WEIGHTS, as_safetensors(own_tensors(trainer.network)))


def _tell_precision(space: Workspace) -> None:
    """Write into ``training.json`` how nnU-Net computes, which the precision of a run does not change."""
    file = space.folder / "training.json"
    facts = read_json(file)
    facts["circumstances"]["precision"] = "float16" if space.device.startswith("cuda") else "float32"
    write_json(file, facts)


def own_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers under one name each: a decoder also holds its encoder."""
    return {
        name: value.detach().cpu().contiguous()
        for name, value in (*network.named_parameters(), *network.named_buffers())
    }


class NnunetLearner:
    """One step of nnU-Net's trainer; after an epoch's last one it validates."""

    def __init__(self, trainer: Trainer, options: NnunetOptions, validates: bool, seed: int) -> None:
        self._trainer = trainer
        self._batches = Ahead(Numbered(trainer.dataloader_train, seed, _TRAINING), options.steps, options.workers)
        self._validation = Numbered(trainer.dataloader_val, seed, _VALIDATING) if validates else None
        self._beside = Beside(trainer.grad_scaler).to(trainer.device)
        self.networks: Mapping[str, nn.Module] = {"nnunet": trainer.network, "beside": self._beside}
        self.optimizers: Mapping[str, torch.optim.Optimizer] = {"nnunet": trainer.optimizer}

    def step(self, number: int) -> Mapping[str, Tensor]:
        """Descend once on batch `number`; returns the loss, and the Dice of the last validation if there is any."""
        trainer = self._trainer
        epoch, within = divmod(number, trainer.num_iterations_per_epoch)
        trainer.network.train()
        trainer.lr_scheduler.step(epoch)
        self._beside.lend(trainer.grad_scaler)
        loss = torch.as_tensor(trainer.train_step(self._batches.at(number))["loss"])
        self._beside.take(trainer.grad_scaler)
        if self._validation is None:
            return {"loss": loss}
        if within == trainer.num_iterations_per_epoch - 1:
            self._beside.validation_dice.fill_(self._validate(self._validation, epoch))
        return {"loss": loss, "validation_dice": self._beside.validation_dice}

    def _validate(self, batches: Numbered, epoch: int) -> float:
        """Return nnU-Net's pseudo Dice: that of all pixels of some validation patches, the mean over classes."""
        trainer = self._trainer
        trainer.network.eval()
        count = max(1, trainer.num_iterations_per_epoch // 5)
        with torch.no_grad():
            return _dice([trainer.validation_step(batches[epoch * count + i]) for i in range(count)])


class Beside(nn.Module):
    """What a checkpoint holds besides network and optimiser: the last validation, the scale of float16 gradients."""

    validation_dice: Tensor
    scale: Tensor
    growth: Tensor

    def __init__(self, scaler: Any) -> None:
        super().__init__()
        self.register_buffer("validation_dice", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_buffer("growth", torch.tensor(0))
        self.take(scaler)

    def lend(self, scaler: Any) -> None:
        """Let a scaler, if there is one, continue from here."""
        if scaler is not None:
            own = {"scale": float(self.scale), "_growth_tracker": int(self.growth)}
            scaler.load_state_dict({**scaler.state_dict(), **own})

    def take(self, scaler: Any) -> None:
        """Note where a scaler, if there is one, is."""
        if scaler is not None:
            state = scaler.state_dict()
            self.scale.fill_(state["scale"])
            self.growth.fill_(state["_growth_tracker"])


def _dice(found: list[dict[str, Any]]) -> float:
    """Return the mean over classes of the Dice of all patches, 1 for a class that is nowhere and found nowhere."""
    hit, wrong, missed = (sum(np.asarray(one[f"{name}_hard"], float) for one in found) for name in ("tp", "fp", "fn"))
    total = 2 * hit + wrong + missed
    return float(np.where(total > 0, 2 * hit / np.maximum(total, 1), 1.0).mean())
