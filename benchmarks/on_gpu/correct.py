"""The tests that need a GPU, several at a time, with the slowest and every failure kept."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from on_gpu.part import Part, begin

ROOT = Path(__file__).parents[2]
_WORDS = 1500

_SHARE_OF_A_TEST = 0.8
"""Of the part's time, at most."""


def measure(part: Part) -> None:
    """Run the tests."""
    file = part.store / "tests.xml"
    command = [
        sys.executable, "-m", "pytest", "-v", "-m", "gpu", "tests/test_gpu.py", f"--junitxml={file}",
        f"--timeout={part.seconds * _SHARE_OF_A_TEST:.0f}",
    ]  # fmt: skip
    command += ["-n", "2" if part.tiny else "12", "--dist", "load", "-p", "no:cacheprovider", "-p", "no:benchmark"]
    command += ["-W", "default"]  # what other versions of packages say is not what is tested
    paths = [path for path in os.environ["PYTHONPATH"].split(os.pathsep) if path != str(ROOT / "benchmarks")]
    environment = os.environ | {"AUGKIT_TEST_DEVICE": part.device, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(paths)  # its modules are named as folders of tests are
    subprocess.run(command, cwd=ROOT, env=environment, check=False)
    cases = list(ET.parse(file).iter("testcase"))
    failed = {case.get("name"): _said(case) for case in cases if _said(case)}
    part.keep("passed", sum(1 for case in cases if len(case) == 0))
    part.keep("failed", len(failed))
    part.keep("failures", failed)
    part.keep("seconds of each", {case.get("name"): float(case.get("time", 0)) for case in cases})


def _said(case: ET.Element) -> str:
    """Return the end of what a test that failed said."""
    return "".join((found.text or "")[-_WORDS:] for kind in ("failure", "error") for found in case.findall(kind))


if __name__ == "__main__":
    begin("correct", measure)
