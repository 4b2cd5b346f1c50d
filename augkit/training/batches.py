"""Batches of a training set without worker processes: uint8 pixels where the device can hold them, keyed order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from augkit.contracts.components import Augment, IgnoresPadding, TakesStoredPixels
from augkit.data.arrays import Images, ImageSet, Masks, Scores
from augkit.data.draws import Draws, TensorDraws, sample_keys
from augkit.data.formats import Format
from augkit.data.joined import Joined
from augkit.training.pixels import as_tensor, in_unit_range, pair_in_flight
from augkit.training.precision import memory_layout
from augkit.training.threads import floats, taken

WHOLE = slice(None)

PREDICTION_BATCH = 32

_SENT = 1024
"""Images of a set in shards that are sent to a device at a time."""


class Augmented(NamedTuple):
    """A batch as training sees it: float32 images (B, C, H, W) and masks (B, K, H, W), both in 0..1.

    counts: float32 (B, 1, H, W) in 0..1, how much each pixel counts; None where all count.
    """

    images: Tensor
    masks: Tensor
    counts: Tensor | None


@dataclass(frozen=True)
class Batch:
    """One training batch, or a part of one, on the device.

    stored_images: uint8 (B, C, H, W) in 0..255, channels-last in memory, or float32 in 0..1 for other pixels.
    stored_masks:  uint8, or float32 where the images are, (B, K, H, W) in {0, 1}; with ignored pixels the background
                   is the last of K + 1 classes, so that a pixel that does not count has none.
    draws:         those of the B samples in their epochs.
    """

    stored_images: Tensor
    stored_masks: Tensor
    draws: TensorDraws

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return stored images, stored masks and keys: all of it, for `augkit.training.graphs`."""
        return self.stored_images, self.stored_masks, self.draws.keys

    @staticmethod
    def of(tensors: Sequence[Tensor]) -> Batch:
        """Return the batch of such tensors."""
        images, masks, keys = tensors
        return Batch(images, masks, Draws(keys))

    @property
    def images(self) -> Tensor:
        """Float32 (B, C, H, W) in 0..1, channels-last in memory."""
        return self._floats[0]

    @property
    def masks(self) -> Tensor:
        """Float32 (B, K, H, W) in {0, 1}."""
        return self._floats[1]

    def augmented(self, augment: Augment, ignore: bool = False) -> Augmented:
        """Return images and masks as `augment` changes them; `ignore` as in `Format`."""
        images, masks = self.stored_images, self.stored_masks
        if not (ignore or ignores_padding(augment)):
            return Augmented(*as_floats(*augment(*suited(augment, images, masks), self.draws)), None)
        classes = masks if ignore else with_background(masks)
        images, classes = as_floats(*augment(*suited(augment, images, classes), self.draws))
        return Augmented(images, classes[:, :-1], classes.sum(dim=1, keepdim=True))

    @cached_property
    def _floats(self) -> tuple[Tensor, Tensor]:
        return as_floats(self.stored_images, self.stored_masks)


class Batches:
    """A data set cut into batches by a keyed permutation per epoch.

    Batch `number` holds samples number·B .. number·B + B - 1 of the endless sequence of epochs, so every batch is full
    and every sample is seen once per epoch. The pixels lie on the device as uint8 if half of its free memory holds
    them; otherwise they stay where they are, usually in files mapped into memory, and each batch is sent. So do those
    of a set in shards on a CPU, which reads them no faster from its own memory than from the system's.
    """

    def __init__(self, samples: ImageSet, batch_size: int, seed: int, device: str) -> None:
        self._size = batch_size
        self._seed = seed
        self._orders: dict[int, Tensor] = {}
        needed = samples.images.nbytes + samples.masks.nbytes
        stays = device == "cpu" and isinstance(samples.images, Joined)
        resident = not stays and needed <= free_memory(device) // 2
        self._pixels: _Pixels = (_Resident if resident else _Mapped)(samples.images, samples.masks, device)
        self._format = samples.format
        self._keys = torch.from_numpy(sample_keys(samples.ids)).to(device if resident else "cpu")

    def __len__(self) -> int:
        return len(self._keys)

    def at(self, number: int, part: slice = WHOLE) -> Batch:
        """Return batch `number`, or only a part of its samples."""
        n, first = len(self), number * self._size
        index: list[Tensor] = []
        epochs: list[Tensor] = []
        have = 0
        while have < self._size:
            epoch, begin = divmod(first + have, n)
            some = self._order(epoch)[begin : begin + self._size - have]
            index.append(some)
            epochs.append(torch.full_like(some, epoch))
            have += len(some)
        where = torch.cat(index)[part]
        draws = Draws.on_device(self._seed, "batch", self._keys[where], torch.cat(epochs)[part])
        images, masks, keys = self._pixels.take(where, draws.keys)
        return Batch(*pair_in_flight(images, masks, self._format), Draws(keys))

    def _order(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            draws = Draws.on_device(self._seed, "order", self._keys, epoch)
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = torch.argsort(draws.bits("order"), stable=True)
        return self._orders[epoch]


class _Pixels(Protocol):
    """Where the pixels are. `take` returns `as_tensor` of the images and of the masks, and the keys, on the device."""

    def take(self, where: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...


class _Resident:
    """On the device; nothing moves."""

    def __init__(self, images: Images, masks: Masks, device: str) -> None:
        self._images = _on_device(images, device)
        self._masks = _on_device(masks, device)

    def take(self, where: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if where.is_cpu:
            return taken(self._images, where), taken(self._masks, where), keys
        return self._images.index_select(0, where), self._masks.index_select(0, where), keys


def _on_device(pixels: Images, device: str) -> Tensor:
    """Return `as_tensor` of stored pixels on the device; those of a set in shards are never all on the host."""
    if not isinstance(pixels, Joined):
        return as_tensor(pixels).to(device)
    whole = torch.empty(pixels.shape, dtype=as_tensor(pixels[:0]).dtype, device=device)
    for begin in range(0, len(pixels), _SENT):
        whole[begin : begin + _SENT] = as_tensor(pixels[begin : begin + _SENT]).to(device)
    return whole


class _Mapped:
    """On the host; batches go to the device through pinned memory, so that the host need not wait for it."""

    def __init__(self, images: Images, masks: Masks, device: str) -> None:
        self._images = images
        self._masks = masks
        self._device = device

    def take(self, where: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        index = where.numpy()
        images, masks = as_tensor(self._images[index]), as_tensor(self._masks[index])
        return self._send(images), self._send(masks), self._send(keys)

    def _send(self, tensor: Tensor) -> Tensor:
        if self._device.startswith("cuda"):
            tensor = tensor.pin_memory()
        return tensor.to(self._device, non_blocking=True)


def with_background(masks: Tensor) -> Tensor:
    """Return masks (N, K, H, W), of any dtype, with the background as their last class."""
    return torch.cat([masks, 1 - masks.sum(dim=1, keepdim=True, dtype=masks.dtype)], dim=1)


def suited(augment: Augment, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return stored pixels as an augmentation takes them: as they are if it says so, otherwise float32."""
    return (images, masks) if takes_stored_pixels(augment) else as_floats(images, masks)


def takes_stored_pixels(augment: Augment) -> bool:
    """Return whether an augmentation may be called before pixels become float32."""
    return isinstance(augment, TakesStoredPixels) and augment.takes_stored_pixels()


def ignores_padding(augment: Augment) -> bool:
    """Return whether pixels of no class, in the masks that an augmentation returns, are not to count."""
    return isinstance(augment, IgnoresPadding) and augment.ignores_padding()


def as_floats(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return stored pixels, as in `Batch`, as float32 in 0..1, in the same memory layout; float32 is returned as is."""
    if images.dtype != torch.uint8:
        return images, masks
    if images.is_cpu:
        return floats(images, 255), floats(masks, 1) if masks.dtype == torch.uint8 else masks.float()
    return torch.empty_like(images, dtype=torch.float32).copy_(images).div_(255), masks.float()


def free_memory(device: str) -> int:
    """Return the bytes that are free on the device; for ``cpu`` and ``mps``, those of the host."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    name = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")


def as_scores(logits: Tensor) -> Tensor:
    """Return scores (N, K, H, W) in 0..1 of logits, as `score_images` says."""
    return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)[:, 1:]


@torch.inference_mode()
def score_images(network: nn.Module, images: Images, format: Format, device: str) -> Scores:
    """Return float32 (N, K, H, W) in 0..1: what a network's logits say of images (N, H, W, C) of a format.

    The network lies on the device, in evaluation mode, and turns float32 (B, C, H, W) in 0..1 into logits, computed in
    float32: (B, 1, H, W) of one class, which become scores by the sigmoid; or (B, K + 1, H, W) of several, the
    background first, which become scores by the softmax.
    """
    parts = []
    for begin in range(0, len(images), PREDICTION_BATCH):
        batch = in_unit_range(images[begin : begin + PREDICTION_BATCH], format, device)
        logits = network(batch.contiguous(memory_format=memory_layout(device)))
        parts.append(as_scores(logits).cpu())
    scores: Scores = torch.cat(parts).numpy()
    return scores
