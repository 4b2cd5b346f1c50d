"""Make what a version leaves behind, for the versions after it: ``python tests/kept/make.py tests/kept/VERSION``.

Run once for each version that is released, and never again: later versions have to read these very files.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

RECIPE = Path(__file__).parents[2] / "recipes" / "allaug.yaml"
HOW = ["--device", "cpu", "--threads", "1", "--precision", "float32", "--quiet"]
DATA = "--set=dataset.phantom={train: 6, test: 3, size: 32}"
GAN = (
    "--set=synthesize.0.generator={mask2lesion: {width: 4, norm: instance, patch_layers: 1, epochs: 2,"
    " decay_epochs: 0, batch_size: 2, sample_every: 0}}"
)
SHORT = "--set=segmenter.unet={width: 2, steps: 8, batch_size: 2}"
LONG = "--set=segmenter.unet={width: 2, steps: 100000, batch_size: 2}"


def main() -> None:
    """Keep the artifacts of a small run, its report packed for a co-author, and a checkpoint."""
    kept = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        augkit("run", str(RECIPE), *HOW, DATA, GAN, SHORT, "--out", str(runs)).check_returncode()
        (report,) = (runs / "report").iterdir()
        augkit("share", str(report), str(kept / "report.zip")).check_returncode()
        for kind in ("dataset", "masks", "generator", "synthesis", "segmenter", "evaluation"):
            shutil.copytree(runs / kind, kept / "runs" / kind)
        checkpoint = interrupted(Path(folder) / "stopped")
        shutil.copytree(checkpoint, kept / "checkpoints" / checkpoint.name)


def augkit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run([sys.executable, "-m", "augkit", *arguments], text=True, check=False)


def interrupted(runs: Path) -> Path:
    """Return the checkpoint that a training leaves which is told to stop."""
    options = [*HOW[:-1], DATA, LONG, "--set=synthesize=[]", "--out", str(runs)]
    command = [sys.executable, "-m", "augkit", "run", str(RECIPE), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        for line in running.stderr:
            if ": step " in line:
                running.send_signal(signal.SIGTERM)
    return max(path for path in runs.rglob("checkpoints/*") if path.name.isdigit())


if __name__ == "__main__":
    main()
