"""Sizes of images that a component does not take are refused before anything is computed."""

import subprocess
import sys

RECIPE = """\
name: sizes
dataset: {phantom: {train: 4, test: 4, size: 50}}
synthesize:
  - generator: {mask2lesion: {}}
    masks: {training: {}}
    per_real: 1.0
  - generator: {flow: {}}
    masks: {training: {}}
    per_real: 0
segmenter: {unet: {}}
"""


def refused(augkit, tmp_path, *command):
    (tmp_path / "sizes.yaml").write_text(RECIPE)
    code, _, err = augkit(*command, "sizes.yaml")
    assert code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sizes.yaml"]
    return err.splitlines()


def test_every_component_in_use_that_does_not_take_the_size_is_told_with_its_line_by_validate_plan_and_run(
    augkit, tmp_path
):
    told = [
        "sizes.yaml:4: generator 'mask2lesion': found images of 50 x 50 pixels; allowed: squares with a side of 32, "
        "64, 128, 256 pixels, or the option size, to which images are brought. The images are those of data set "
        "'phantom' (sizes.yaml:2)",
        "sizes.yaml:10: segmenter 'unet': found images of 50 x 50 pixels; allowed: sides that are multiples of 16 "
        "pixels. The images are those of data set 'phantom' (sizes.yaml:2)",
    ]
    assert refused(augkit, tmp_path, "validate") == told
    assert refused(augkit, tmp_path, "plan") == told
    assert refused(augkit, tmp_path, "run") == told


def test_asking_for_sizes_does_not_import_torch(tmp_path):
    (tmp_path / "sizes.yaml").write_text(RECIPE)
    code = (
        "import sys; from pathlib import Path; from augkit.errors import InputError\n"
        "from augkit.planning.loading import load_checked\n"
        "try: load_checked([Path('sizes.yaml')])\n"
        "except InputError as error: print(len(error.problems), 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
