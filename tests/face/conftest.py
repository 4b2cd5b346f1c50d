"""A small study of two arms that is run once for all tests of the face."""

import pytest

import augkit

HEAD = "seed: 3\ndataset: {phantom: {train: 12, test: 6, size: 32}}\n"
UNET = "segmenter: {unet: {width: 4, steps: 4, batch_size: 4}}\n"
RECIPES = {
    "classic": f"name: classic\n{HEAD}augment:\n  - classical-strong: {{}}\n{UNET}",
    "both": (
        f"name: both\n{HEAD}synthesize:\n  - {{generator: {{noise: {{}}}}, masks: {{training: {{}}}}, per_real: 1}}\n"
        f"augment:\n  - classical-strong: {{}}\n{UNET}"
    ),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Recipes, and the runs of them."""
    folder = tmp_path_factory.mktemp("face")
    for name, text in RECIPES.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="session")
def result(folder):
    files = (folder / "classic.yaml", folder / "both.yaml")
    return augkit.run(*files, seeds=range(2), out=folder / "runs", device="cpu", observers=())
