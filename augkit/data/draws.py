"""Random numbers that belong to a sample.

A number is a pure function of (seed, stream, epoch, sample, name, element): a splitmix64 chain (Steele, Lea & Flood,
OOPSLA 2014) over 64-bit integers. There is no state, so the same sample gets the same numbers whatever the batch size,
the order, the device, the number of processes, or how often the run was interrupted.

The arithmetic uses only operators that NumPy arrays and torch tensors share (wrapping int64 products, shifts, xor), so
one implementation serves masks at rest and batches on a GPU, with equal bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

A = TypeVar("A")
"""The array kind: NumPy at rest, torch in flight."""

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _mix(x: Any) -> Any:
    """Apply the splitmix64 finaliser; the masks turn arithmetic right shifts into logical ones."""
    if not isinstance(x, np.ndarray) and x.device.type == "cpu":
        import torch

        # A few hundred numbers cost torch more in calls than in arithmetic; NumPy gives the same bits in a third.
        return torch.from_numpy(_mix(x.numpy()))
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * _MIX_1
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * _MIX_2
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


@lru_cache(maxsize=4096)
def _word(text: str) -> int:
    """Return a signed 64-bit integer that stands for a piece of text, also for a file's name that is not UTF-8."""
    data = text.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little", signed=True)


def sample_keys(ids: Sequence[str]) -> NDArray[np.int64]:
    """Return one int64 (N,) per sample id; equal ids have equal keys whatever their position."""
    return np.array([_word.__wrapped__(name) for name in ids], dtype=np.int64)


def derive_seed(seed: int, *names: str) -> int:
    """Return a seed in [0, 2**63) for a named part of a run, such as one stage."""
    text = "\x1f".join([str(seed), *names])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


@dataclass(frozen=True)
class Draws(Generic[A]):
    """The random numbers of N samples: one int64 key each, and named numbers derived from it.

    Every method takes the name of what is drawn. Two names give independent numbers; the same name gives the same
    numbers again. `shape` asks for several elements per sample. Arrays (`A`) are NumPy's at rest and torch's in flight.
    """

    keys: A

    @staticmethod
    def of(
        seed: int, stream: str, samples: NDArray[np.int64], epochs: NDArray[np.int64] | int = 0
    ) -> Draws[NDArray[Any]]:
        """Return the draws of `samples` (int64 (N,), see `sample_keys`) in a stream of a run, at rest."""
        return Draws(_chain(seed, stream, np.atleast_1d(samples), epochs))

    @staticmethod
    def on_device(seed: int, stream: str, samples: torch.Tensor, epochs: torch.Tensor | int = 0) -> Draws[torch.Tensor]:
        """Return the same draws as `of` for int64 tensors on any device."""
        if samples.device.type == "cpu":
            import torch

            each = epochs.numpy() if isinstance(epochs, torch.Tensor) else epochs
            return Draws(torch.from_numpy(_chain(seed, stream, samples.numpy(), each)))
        return Draws(_chain(seed, stream, samples, epochs))

    def __len__(self) -> int:
        return len(cast("Sequence[int]", self.keys))

    def __getitem__(self, index: Any) -> Draws[A]:
        """Return the draws of some of the samples: a slice or an index array."""
        return Draws(cast(Any, self.keys)[index])

    def fork(self, name: str) -> Draws[A]:
        """Return an independent set of draws for the same samples, so that two users of one name never collide."""
        return Draws(_mix((cast(Any, self.keys) ^ _word(name)) + _GOLDEN))

    def bits(self, name: str, shape: tuple[int, ...] = ()) -> A:
        """Return int64 (N, *shape), every bit uniform."""
        keys: Any = self.fork(name).keys
        if not shape:
            return cast(A, keys)
        return cast(A, _mix(keys[:, None] + _elements(prod(shape), keys) * _GOLDEN).reshape(len(self), *shape))

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0, shape: tuple[int, ...] = ()) -> A:
        """Return float32 (N, *shape) uniform in [low, high), 24 random bits each.

        Where `low` is not 0, float32 may round the last of the 2**24 steps up to `high`.
        """
        unit = _float32((cast(Any, self.bits(name, shape)) >> 40) & 0xFFFFFF) * 2.0**-24
        return cast(A, unit * float(high - low) + float(low))

    def uniforms(self, names: Sequence[str]) -> A:
        """Return float32 (N, len(names)) in [0, 1): column j is ``uniform(names[j])``, all in one pass."""
        keys: Any = self.keys
        bits = _mix((keys[:, None] ^ _words(tuple(names), _place(keys))) + _GOLDEN)
        return cast(A, _float32((bits >> 40) & 0xFFFFFF) * 2.0**-24)

    def normal(self, name: str, mean: float = 0.0, std: float = 1.0, shape: tuple[int, ...] = ()) -> A:
        """Return float32 (N, *shape), Gaussian: one of 65,536 equally likely quantiles, so |z| < 4.4.

        A table lookup, not a logarithm, keeps the bits equal on every device.
        """
        level: Any = (cast(Any, self.bits(name, shape)) >> 48) & 0xFFFF
        return cast(A, _quantiles(level)[level] * float(std) + float(mean))

    def field(self, name: str, shape: tuple[int, ...]) -> A:
        """Return float32 (N, *shape), standard normal: noise for whole images.

        As `normal`, but each hash gives four numbers, from its lowest 16 bits up.
        """
        count = prod(shape)
        words: Any = self.bits(name, (-(-count // 4),))
        levels = _four_levels(words)[:, :count]
        return cast(A, _quantiles(levels)[levels].reshape(len(self), *shape))

    def integers(self, name: str, low: int, high: int, shape: tuple[int, ...] = ()) -> A:
        """Return int64 (N, *shape) uniform in low .. high - 1; the bias is below (high - low) / 2**63."""
        return cast(A, ((cast(Any, self.bits(name, shape)) >> 1) & 0x7FFFFFFFFFFFFFFF) % (high - low) + low)

    def boolean(self, name: str, probability: float = 0.5, shape: tuple[int, ...] = ()) -> A:
        """Return bool (N, *shape), true with the given probability."""
        return cast(A, cast(Any, self.uniform(name, shape=shape)) < probability)

    def generator(self, index: int, name: str) -> np.random.Generator:
        """Return a NumPy generator that belongs to one sample and name, for code that wants one."""
        key = int(cast(Any, self.fork(name).keys)[index]) & (2**64 - 1)
        return np.random.Generator(np.random.Philox(key=key))


def _chain(seed: int, stream: str, samples: Any, epochs: Any) -> Any:
    root = _word(f"{seed}\x1f{stream}")
    return _mix(_mix(samples ^ root) + (epochs + samples * 0) * _GOLDEN)


def _place(keys: Any) -> str:
    return "" if isinstance(keys, np.ndarray) else str(keys.device)


@lru_cache(maxsize=1024)
def _words(names: tuple[str, ...], device: str) -> Any:
    """Return int64 (len(names),): the words of several names, kept on the device; NumPy where that is ''."""
    words = np.array([_word(name) for name in names], dtype=np.int64)
    if not device:
        return words
    import torch

    return torch.from_numpy(words).to(device)


def _four_levels(words: Any) -> Any:
    """Return the four 16-bit parts of every word: int64 (N, k) -> int (N, 4 k), lowest bits first."""
    if isinstance(words, np.ndarray):
        return words.astype("<i8").view("<u2")
    import torch

    return words.contiguous().view(torch.int16).to(torch.int32) & 0xFFFF


def _elements(count: int, like: Any) -> Any:
    if isinstance(like, np.ndarray):
        return np.arange(1, count + 1, dtype=np.int64)
    import torch

    return torch.arange(1, count + 1, dtype=torch.int64, device=like.device)


def _float32(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return x.astype(np.float32)
    import torch

    return x.to(torch.float32)


def _quantiles(like: Any) -> Any:
    if isinstance(like, np.ndarray):
        return _normal_table()
    return _normal_table_on(str(like.device))


@lru_cache(maxsize=1)
def _normal_table() -> NDArray[np.float32]:
    """Return the 65,536 mid-quantiles of the standard normal, scaled to variance one, float32."""
    half = np.array([NormalDist().inv_cdf((i + 0.5) / 65536) for i in range(32768)])
    table = np.concatenate([half, -half[::-1]])
    scaled: NDArray[np.float32] = (table / table.std()).astype(np.float32)
    return scaled


@lru_cache(maxsize=8)
def _normal_table_on(device: str) -> torch.Tensor:
    import torch

    return torch.from_numpy(_normal_table()).to(device)


ArrayDraws = Draws[NDArray[Any]]
TensorDraws = Draws["torch.Tensor"]
