"""Pack what `benchmarks/gpu.py` needs on a machine that has torch and CUDA but no network.

    python benchmarks/pack.py FOLDER [--python 3.12]

FOLDER/wheels gets augkit and the packages that such a machine usually lacks, in the versions of constraints.txt, and
FOLDER/data the images of ISIC 2017 from ``$AUGKIT_DATA``. There:

    pip install --no-index --no-deps --target SITE FOLDER/wheels/*.whl
    PYTHONPATH=SITE AUGKIT_DATA=FOLDER/data python benchmarks/gpu.py --out RESULTS
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LACKING = (
    "pydantic", "pydantic_core", "annotated-types", "typing-inspection", "typing_extensions", "numpy", "pytest-timeout",
    "jsonschema", "jsonschema-specifications", "referencing", "rpds-py", "typer", "annotated-doc",
)  # fmt: skip
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def main() -> None:
    """Pack, and print how much it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="version on the other machine")
    chosen = parser.parse_args()
    wheels = chosen.folder / "wheels"
    shutil.rmtree(chosen.folder, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, ROOT], check=True)
    there = ["--python-version", chosen.python, "--implementation", "cp", "--only-binary=:all:"]
    there += [word for platform in PLATFORMS for word in ("--platform", platform)]
    subprocess.run([*pip, "download", "--no-deps", *there, "-d", wheels, *pinned(LACKING)], check=True)
    data = Path(os.environ["AUGKIT_DATA"]) / "isic2017"
    shutil.copytree(data, chosen.folder / "data" / "isic2017")
    size = sum(file.stat().st_size for file in chosen.folder.rglob("*") if file.is_file())
    print(f"{size / 1e6:.0f} MB in {chosen.folder}")


def pinned(names: tuple[str, ...]) -> list[str]:
    """Return the requirements of constraints.txt for these packages."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    known = {line.partition("==")[0].lower().replace("_", "-"): line for line in lines if "==" in line}
    return [known[name.lower().replace("_", "-")] for name in names]


if __name__ == "__main__":
    main()
