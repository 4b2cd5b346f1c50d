"""Training masks under smooth elastic deformations, after DeformIt.

After, not the original: Hamarneh, Jassi & Tang, "Simulation of ground-truth validation data via physically- and
statistically-based warps", MICCAI 2008 (LNCS 5241, 459-467), describes a web tool; this is its idea built anew, and
gives other numbers. Its two kinds of warp are here: vibration modes of an elastic plate, and modes learnt from the
training masks. How they are combined follows Cootes & Taylor, "Combining point distribution models with shape models
based on finite element analysis", Image and Vision Computing 13 (1995). The random field is that of Simard, Steinkraus
& Platt, ICDAR 2003.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from augkit import ANYTHING, DrawnMasks, Draws, InputError, Masks, NotEmpty, Problem, Record, Within, Workspace, shows
from augkit.images import IGNORED
from augkit.store import read_array, write_array
from augkit_masks.box import foreground_box
from augkit_masks.fem import Boundary, lowest_modes
from augkit_masks.registration import Variation, learn_variation, stride
from augkit_masks.validity import count_holes
from augkit_masks.warp import (
    Field,
    enlarge,
    exponential,
    rms,
    signed_distance,
    smallest_jacobian,
    taper,
    warp_labels,
    warp_mask,
    with_rms,
)

FRAME = 128
"""The longer side, in pixels, of the frame that `degree` and `sigma` are given for."""

ELEMENTS = 32
"""Finite elements along the longer side."""

LEAST_JACOBIAN = 0.1
SHRINK = 0.8
ATTEMPTS = 30
"""Enough that the largest degree shrinks to where no pixel changes."""

WORST_OVERLAP = 0.5
"""Below this overlap after registration, the average mask stands for nothing."""

TOLD_EVERY = 200
"""Masks between two reports of progress."""

FOLDS_ABOVE = 6.0
"""The degree above which plain fields of 20 modes begin to fold."""


@dataclass(frozen=True)
class Elastic:
    """Training masks, each equally likely, deformed by a smooth random displacement field.

    field:    ``vibration``: modes of an elastic plate, amplitudes N(0, 1 / omega^(2 decay)). ``variation``: principal
              components of how the training masks differ from their average (up to 100 of them, registered by demons);
              for one structure per image. ``combined``: both, with equal total variance. ``random``: independent noise
              smoothed by a Gaussian.
    degree:   strengths to draw from: root mean square displacement in pixels of a 128-pixel frame, in proportion to
              the longer side for other sizes; 0 .. 16.
    modes:    number of modes, of each kind; one more where the last has a twin of equal frequency.
    decay:    how fast high frequencies fade: 1 is thermal equilibrium, 2 is smoother.
    boundary: ``clamped``: the frame's border stays, so nothing leaves the frame. ``sliding``: it moves along itself.
              ``free``: it moves.
    diffeomorphic: follow the field as a stationary velocity, which does not fold; null does so above degree 6 and
              where the plain field would fold.
    sigma:    of the Gaussian of ``random``, in pixels of a 128-pixel frame.
    area:     smallest and largest area as a multiple of the training mask's.

    A field whose Jacobian is 0.1 or less anywhere, or whose mask is empty, leaves ``area`` or touches a border that the
    training mask did not touch, is tried again at 0.8 of its strength.

    A label map is moved as a whole, pixels that do not count included: one field and one outline for all classes, and
    within it the class whose moved outline is nearest, so that classes that touch or enclose each other go on doing so.
    A field that makes a class disappear is tried again, too. Area and border are those of all classes together.
    """

    field: Literal["vibration", "variation", "combined", "random"] = "vibration"
    degree: Annotated[tuple[Annotated[float, Within(0, 16)], ...], NotEmpty()] = (2.0, 4.0, 6.0, 8.0)
    modes: Annotated[int, Within(1, 60)] = 20
    decay: Annotated[float, Within(0, 4)] = 1.0
    boundary: Boundary = "clamped"
    diffeomorphic: bool | None = None
    sigma: Annotated[float, Within(4, 64)] = 16.0
    area: tuple[float, float] = (0.3, 3.0)
    takes = ANYTHING

    def __post_init__(self) -> None:
        if not self.degree:
            raise ValueError("degree is empty; allowed: one or more strengths, such as [2, 4, 6, 8]")
        if not 0 < self.area[0] <= 1 <= self.area[1]:
            raise ValueError(f"area is {list(self.area)}; allowed: 0 < smallest <= 1 <= largest, such as [0.3, 3]")

    def draw(self, masks: Masks, count: int, draws: Draws[NDArray[Any]], space: Workspace) -> DrawnMasks:
        """Return `count` deformed training masks.

        A record holds: ``parent``; ``degree``, as drawn; ``rms``, of the field that was used, in pixels;
        ``min_jacobian`` of that field; ``shrinks``, how often it was made weaker; ``area_change``; ``diffeomorphic``;
        ``repaired``, whether specks or holes that sampling left were removed.
        """
        usable = np.flatnonzero(shows(masks).any(axis=(1, 2)))
        if not len(usable):
            raise InputError(Problem("elastic", f"{len(masks)} training masks, all empty", "Use masks with foreground"))
        basis = self._basis(masks, usable, space)
        parents = usable[draws.integers("parent", 0, len(usable))]
        degrees = np.array(self.degree)[draws.integers("degree", 0, len(self.degree))]
        drawn = np.empty((count, *masks.shape[1:]), masks.dtype)
        records: list[Record] = [{}] * count

        def deform_children(index: int) -> int:
            """Deform the masks of one parent, whose distance map serves all of them and is then let go."""
            parent = _parent(index, np.asarray(masks[index]))
            children = np.flatnonzero(parents == index)
            for i in children:
                direction = self._direction(basis, masks.shape[1:], draws[i : i + 1])
                drawn[i], records[i] = self._deform(parent, direction, float(degrees[i]))
            return len(children)

        done = 0
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # NumPy and SciPy let go of the interpreter while they work
            for children in pool.map(deform_children, np.unique(parents).tolist()):
                before, done = done, done + children
                if done // TOLD_EVERY > before // TOLD_EVERY:
                    space.log.progress(done, count, {})
        _tell(records, space)
        return DrawnMasks(drawn, tuple(records))

    def draw_part(
        self, masks: Masks, count: int, start: int, stop: int, draws: Draws[NDArray[Any]], space: Workspace
    ) -> DrawnMasks:
        """Return some of them; modes are found again for each part."""
        return self.draw(masks, stop - start, draws[start:stop], space)

    def _basis(self, masks: Masks, usable: NDArray[np.int64], space: Workspace) -> Field | None:
        """Return modes float32 (K, 2, H, W), each as long as its standard deviation; None for the random field."""
        size = masks.shape[1], masks.shape[2]
        if self.field == "random":
            return None
        if self.field == "vibration":
            return self._vibration(size, space)
        if self.field == "variation":
            return self._variation(masks, usable, space)
        return np.concatenate([_unit(self._vibration(size, space)), _unit(self._variation(masks, usable, space))])

    def _vibration(self, size: tuple[int, int], space: Workspace) -> Field:
        """Return the plate's modes, kept as ``vibration.npy``: their values at the nodes, float64 (K, 2, ny, nx)."""
        height, width = (side / max(size) for side in size)
        ny, nx = (max(4, round(ELEMENTS * side)) for side in (height, width))
        file = space.folder / "vibration.npy"
        if not file.is_file():
            modes = lowest_modes(nx, ny, width, height, self.boundary, self.modes)
            deviation = (modes.omega[0] / modes.omega) ** self.decay
            write_array(file, modes.shapes * deviation[:, None, None, None])
        nodes = np.linspace(0, 1, ny + 1), np.linspace(0, 1, nx + 1)
        return enlarge(np.asarray(read_array(file)), nodes, size)

    def _variation(self, masks: Masks, usable: NDArray[np.int64], space: Workspace) -> Field:
        """Return the modes learnt from the masks, kept as ``variation.npy``: registration takes seconds."""
        size = masks.shape[1], masks.shape[2]
        file = space.folder / "variation.npy"
        if not file.is_file():
            found = learn_variation(shows(np.asarray(masks[usable])), self.modes)
            space.log.note(_account(found))
            if not len(found.modes):
                raise InputError(Problem("elastic", "the training masks do not differ", "Use field: vibration"))
            write_array(file, found.modes)
        modes, step = np.asarray(read_array(file)), stride(size)
        nodes = [(np.arange(points) * step + 0.5) / side for points, side in zip(modes.shape[2:], size, strict=True)]
        return enlarge(modes, (nodes[0], nodes[1]), size) * self._edge(size)

    def _direction(self, basis: Field | None, size: tuple[int, ...], draws: Draws[NDArray[Any]]) -> Field:
        """Return one sample's field (2, H, W), of any length."""
        if basis is None:
            return self._noise((size[0], size[1]), draws)
        amplitudes = np.clip(draws.normal("amplitudes", shape=(len(basis),))[0], -3, 3)
        # Not a matrix product, whose last bits depend on how many samples are in a call.
        direction: Field = np.einsum("k,kcyx->cyx", amplitudes, basis)
        return direction

    def _noise(self, size: tuple[int, int], draws: Draws[NDArray[Any]]) -> Field:
        from scipy.ndimage import gaussian_filter

        noise = draws.generator(0, "noise").random((2, *size), np.float32) * 2 - 1
        sigma = self.sigma * max(size) / FRAME
        smooth: Field = gaussian_filter(noise, (0, sigma, sigma), mode="reflect") * self._edge(size)
        return smooth

    def _edge(self, size: tuple[int, int]) -> Field:
        """Return what makes a field that knows no border obey `boundary`."""
        if self.boundary == "free":
            return np.ones((2, *size), np.float32)
        return taper(size, self.boundary == "sliding")

    def _deform(self, parent: _Parent, direction: Field, degree: float) -> tuple[Masks, Record]:
        pixels = degree * max(parent.mask.shape) / FRAME
        flow = self.diffeomorphic
        if flow is None:
            flow = degree > FOLDS_ABOVE or smallest_jacobian(with_rms(direction, pixels)) <= LEAST_JACOBIAN
        for shrinks in range(ATTEMPTS):
            field = _displacement(direction, pixels * SHRINK**shrinks, flow)
            jacobian = smallest_jacobian(field)
            if jacobian > LEAST_JACOBIAN:
                moved, repaired = _repair(parent.moved(field), parent)
                if self._keeps(moved, parent):
                    break
        else:
            shrinks, field, jacobian = ATTEMPTS, np.zeros_like(direction), 1.0
            moved, repaired = parent.mask, False
        return moved, {
            "parent": parent.number,
            "degree": degree,
            "rms": round(rms(field), 4),
            "min_jacobian": round(jacobian, 4),
            "shrinks": shrinks,
            "area_change": round(_area_change(moved, parent), 4),
            "diffeomorphic": flow,
            "repaired": repaired,
        }

    def _keeps(self, moved: Masks, parent: _Parent) -> bool:
        """Tell whether a deformed mask has an allowed area and every class, and does not newly touch the border."""
        low, high = self.area
        fits = low <= _area_change(moved, parent) <= high
        whole = moved.dtype == np.bool_ or np.isin(parent.labels[parent.labels != IGNORED], moved).all()
        return bool(fits and whole and (parent.at_border or not _touches_border(shows(moved))))


class _Parent(NamedTuple):
    """A training mask and what its children are compared with.

    layers: signed distance maps, float32 (1, H, W), and of a label map (1 + L, H, W) as for `warp_labels`.
    labels: uint8 (L,), those of a label map.
    """

    number: int
    mask: Masks
    layers: Field
    labels: NDArray[np.uint8]
    components: int
    holes: int
    at_border: bool

    def moved(self, field: Field) -> Masks:
        """Return the mask moved by a field."""
        if not len(self.labels):
            return warp_mask(self.layers[0], field)
        return warp_labels(self.layers, self.labels, field)


def _parent(index: int, mask: Masks) -> _Parent:
    labels = np.unique(mask[mask != 0]) if mask.dtype != np.bool_ else np.empty(0, np.uint8)
    everything = mask != 0
    # Only the nearest pixels outside have a part in where the moved distance changes its sign.
    layers = [signed_distance(everything, margin=1), *(signed_distance(mask == label, margin=3) for label in labels)]
    parts, holes = len(_sizes(everything)), count_holes(everything)
    return _Parent(index, mask, np.stack(layers), labels, parts, holes, _touches_border(shows(mask)))


def _area_change(moved: Masks, parent: _Parent) -> float:
    return np.count_nonzero(shows(moved)) / np.count_nonzero(shows(parent.mask))


def _displacement(direction: Field, pixels: float, flow: bool) -> Field:
    """Return a field of exactly `pixels` root mean square length; with `flow`, a displacement that a velocity leads to.

    A flow is shorter than its velocity. A flow of every other pixel tells by how much, to about a hundredth; the rest
    is scaled away.
    """
    field = with_rms(direction, pixels)
    if not flow or not field.any():
        return field
    shortened = 2 * rms(exponential(field[:, ::2, ::2] * np.float32(0.5))) / pixels
    return with_rms(exponential(field / np.float32(shortened)), pixels)


def _repair(moved: Masks, parent: _Parent) -> tuple[Masks, bool]:
    """Return the mask without the specks and holes that sampling on pixels leaves, and whether there were any.

    As many components as the parent has are kept, the largest ones. Holes are filled in a mask of one component whose
    parent has none, in a label map with the label that is nearest.
    """
    everything = moved != 0
    sizes = _sizes(everything)
    repaired = len(sizes) > parent.components
    if repaired:
        everything = _largest(everything, parent.components)
        moved = np.where(everything, moved, moved.dtype.type(0))
    if parent.components == 1 and parent.holes == 0 and count_holes(everything) > 0:
        return _filled(moved), True
    return moved, repaired


def _filled(moved: Masks) -> Masks:
    from scipy.ndimage import binary_fill_holes, distance_transform_edt

    whole: Masks = binary_fill_holes(moved != 0)
    if moved.dtype == np.bool_:
        return whole
    row, column = distance_transform_edt(moved == 0, return_distances=False, return_indices=True)
    return np.where(whole, moved[row, column], moved)


def _largest(mask: Masks, count: int) -> Masks:
    """Return the largest components of bool (H, W)."""
    from scipy.ndimage import label

    labels, _ = label(mask, np.ones((3, 3)))
    kept = np.argsort(-_sizes(mask), kind="stable")[:count] + 1
    return np.isin(labels, kept)


def _sizes(mask: Masks) -> NDArray[np.int64]:
    """Return the pixels of every component; pixels that share a corner are connected."""
    from scipy.ndimage import label

    labels, _ = label(mask[foreground_box(mask)], np.ones((3, 3)))
    return np.bincount(labels.ravel())[1:]


def _touches_border(mask: Masks) -> bool:
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def _unit(modes: Field) -> Field:
    """Return the modes scaled so that the fields they make have a root mean square length of 1."""
    return modes * np.float32(1 / np.sqrt(sum(rms(mode) ** 2 for mode in modes)))


def _account(found: Variation) -> str:
    overlap = f"from {found.before:.2f} to {found.after:.2f}"
    text = f"elastic: registration took the overlap (Dice) of the average mask with the training masks {overlap}"
    if found.after < WORST_OVERLAP:
        text += "; the masks have no shape in common, so field: vibration says as much"
    return text


def _tell(records: list[Record], space: Workspace) -> None:
    weaker = sum(bool(record["shrinks"]) for record in records)
    if 10 * weaker > len(records):
        space.log.note(
            f"elastic: {weaker} of {len(records)} masks are deformed less than drawn; their records say how much"
        )
