"""``augkit plugin show | check | new`` as a plugin author meets them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from augkit import DrawnMasks
from augkit.authors.conformance import KITS
from augkit.contracts.registry import Entry, Provider, Registry, load_registry

REGISTRY = load_registry()


@dataclass(frozen=True)
class Numbers:
    """Masks of numbers, which is a mistake.

    side: of nothing.
    """

    side: int = 3

    def draw(self, masks, count, draws, space):
        return DrawnMasks(np.ones((count, *masks.shape[1:]), np.float64), ({},) * count)


@pytest.fixture(autouse=True)
def faulty(monkeypatch):
    """One plugin has a fault."""
    broken = Entry("mask source", "numbers", Numbers, Provider("numbers", "augkit-numbers", "0.3"))
    registry = Registry({**REGISTRY.entries, ("mask source", "numbers"): broken}, ())
    monkeypatch.setattr("augkit.contracts.registry.load_registry", lambda: registry)


def test_executors_are_listed_and_shown_with_their_options_and_are_no_components_to_check(augkit):
    _, listed, _ = augkit("plugin", "list")
    assert "executors\n" in listed
    _, shown, _ = augkit("plugin", "show", "slurm")
    assert shown.startswith("slurm (executor)\n")
    assert "  threads: 4   (int, 1 or more)" in shown
    assert "takes:" not in shown
    code, _, said = augkit("plugin", "check", "slurm")
    assert code == 2
    assert said.startswith("component 'slurm': is an executor, for which there are no checks")


def test_show_tells_options_with_type_bounds_and_default_and_who_provides_it(augkit):
    code, out, err = augkit("plugin", "show", "mask2lesion")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "mask2lesion (generator)"
    assert lines[2].startswith("Conditional GAN after Abhishek & Hamarneh 2019")
    assert "  width: 64   (int, 4 .. 256)" in lines
    assert "  epochs: 100   (int, 0 or more)" in lines
    assert "  norm: batch   (one of batch, instance, none)" in lines
    assert lines[-2].startswith("provided by: augkit ")
    assert lines[-1] == "licence: MIT"


def test_show_of_a_name_of_two_kinds_shows_both_unless_a_kind_is_given(augkit):
    _, out, _ = augkit("plugin", "show", "folder")
    assert "folder (dataset)" in out
    assert "folder (mask source)" in out
    assert "  root: required   (Path)" in out
    _, out, _ = augkit("plugin", "show", "folder", "--kind", "mask-source")
    assert "folder (dataset)" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mask2lesio"], "component 'mask2lesio': no plugin provides it. Did you mean 'mask2lesion'?\n"),
        (
            ["folder", "--kind", "generater"],
            "--kind: found 'generater'; allowed: dataset, mask-source, generator, augm",
        ),
        (["unet", "--kind", "generator"], "component 'unet': no generator is called 'unet'. 'unet' is a segmenter."),
    ],
)
def test_a_name_that_nobody_provides_ends_with_two_and_a_hint(augkit, arguments, said):
    for command in ("show", "check"):
        code, out, err = augkit("plugin", command, *arguments)
        assert (code, out) == (2, "")
        assert err.startswith(said)


def test_check_tells_what_is_wrong_and_ends_with_one(augkit):
    code, out, err = augkit("plugin", "check", "numbers", "--set", "side=4")
    assert (code, err) == (1, "1 of the checks failed\n")
    assert out.startswith("mask source numbers, augkit-numbers 0.3 (numbers)\n  ok       options_are_readable\n")
    said = "returns_bool: your mask source returned masks float64 1..1 (9, 32, 32); return bool (9, 32, 32)"
    assert f"  failed   {said}\n" in out
    assert "  skipped  keyed: the answer is not usable; see returns_drawn_masks, returns_bool, returns_count" in out


@dataclass(frozen=True)
class Pictures:
    """Masks in a list, as other libraries hand them around."""

    def draw(self, masks, count, draws, space):
        return DrawnMasks([mask.tolist() for mask in masks[:count]], None)


def test_check_tells_every_check_whatever_the_component_returns(augkit, monkeypatch):
    broken = Entry("mask source", "numbers", Pictures, Provider("numbers", "augkit-numbers", "0.3"))
    registry = Registry({("mask source", "numbers"): broken}, ())
    monkeypatch.setattr("augkit.contracts.registry.load_registry", lambda: registry)
    code, out, err = augkit("plugin", "check", "numbers")
    assert (code, len(out.splitlines())) == (1, 1 + len(KITS["mask source"].checks))
    assert "  failed   returns_bool: your mask source returned masks a list; return bool (9, 32, 32)\n" in out
    said = "your mask source returned something that this check cannot read (TypeError: "
    assert f"  failed   records_are_json: {said}" in out
    assert err == f"{out.count('  failed ')} of the checks failed\n"


def test_check_of_a_good_component_ends_with_zero(augkit):
    code, out, err = augkit("plugin", "check", "shapes", "--set", "kinds=[circle, star]")
    assert (code, err) == (0, "")
    assert {line.split()[0] for line in out.splitlines()[1:]} == {"ok"}


def test_check_refuses_options_that_the_component_does_not_have_all_at_once(augkit):
    code, out, err = augkit("plugin", "check", "numbers", "--set", "sied=4", "--set", "side=x", "--set", "a.b=1")
    assert (code, out) == (2, "")
    assert "--set sied=4: numbers has no option 'sied'. Did you mean 'side'?\n" in err
    assert "--set side=x: numbers.side: found the text 'x'; allowed: a whole number\n" in err
    assert "--set a.b=1: found 'a.b'; allowed: the name of an option" in err


def test_new_writes_a_package_and_refuses_to_write_it_twice(augkit):
    code, out, err = augkit("plugin", "new", "soft-edges", "--kind", "mask-source")
    assert (code, err) == (0, "")
    assert out.startswith(
        "augkit-soft-edges\nNext: pip install -e 'augkit-soft-edges' && augkit plugin check soft-edges"
    )
    written = sorted(path.relative_to("augkit-soft-edges").as_posix() for path in Path().rglob("*.*") if path.is_file())
    assert written == [
        "README.md",
        "pyproject.toml",
        "recipe.yaml",
        "src/augkit_soft_edges/__init__.py",
        "tests/test_augkit_soft_edges.py",
    ]
    code, _, err = augkit("plugin", "new", "soft-edges", "--kind", "mask-source")
    assert (code, err) == (2, "augkit-soft-edges: exists already. Choose another name or --out\n")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../x", "name: found '../x'; allowed: up to 40 lower-case letters and digits in words joined by '-'"),
        ("Stripes", "name: found 'Stripes'; allowed: up to 40 lower-case letters"),
        ("import os", "name: found 'import os'; allowed"),
        ("mask2lesion", "name: a generator called 'mask2lesion' is installed already, from augkit "),
    ],
)
def test_new_refuses_names_that_are_no_names_or_taken_and_writes_nothing(augkit, name, said):
    code, out, err = augkit("plugin", "new", name, "--kind", "generator")
    assert (code, out) == (2, "")
    assert err.startswith(said)
    assert list(Path().iterdir()) == []
