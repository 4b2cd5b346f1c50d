"""The paper's Table 1 at its size: four arms on ISIC 2017 at 128x128, networks of width 64, 200 epochs, 6,300 steps."""

import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

from augkit.data.stored import read_evaluation
from augkit.metrics import scores
from augkit.store import read_json
from on_gpu.part import Part, begin, service

ROOT = Path(__file__).parents[2]
ARMS = ("noaug", "classicaug", "mask2lesionaug", "allaug")
AUGKIT = [sys.executable, "-c", "from augkit.cli import main; main()"]
JOBS = 2
"""Stages side by side. With three, the GAN's short kernels came to a fifth of their rate beside those of two U-Nets."""

FAST = "mask2lesion-fast128: {}"
TINY = (
    "dataset={phantom: {train: 8, test: 4, size: 32}}",
    "segmenter={unet: {width: 2, steps: 2, batch_size: 2}}",
)


def measure(part: Part) -> None:
    """Run the arms with one seed, and keep the time of every stage, the table and the gallery."""
    report = run(part, [0])
    keep_report(part, report)


def command(part: Part, seeds: list[int]) -> list[str]:
    """Return the command that trains what is missing and compares the arms."""
    generator = "mask2lesion: {width: 4, patch_layers: 1, epochs: 1, decay_epochs: 0}" if part.tiny else FAST
    sets = [f"synthesize.0.generator={{{generator}}}", *(TINY if part.tiny else ())]
    recipes = [str(part.store / "recipes" / f"{name}.yaml") for name in ARMS]
    for recipe in recipes:
        write_recipe(Path(recipe), sets)
    chosen = ["--seeds", ",".join(str(seed) for seed in seeds), "--out", str(part.store / "runs")]
    return [*AUGKIT, "run", *recipes, *chosen, "--device", part.device, "--jobs", str(JOBS), "--quiet"]


def write_recipe(file: Path, sets: list[str]) -> None:
    """Write one of the paper's recipes with other values."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "recipes" / "isic2017" / file.name).read_text()
    recipe = yaml.safe_load(text)
    for change in sets:
        path, _, value = change.partition("=")
        if path.startswith("synthesize") and not recipe["synthesize"]:
            continue
        if path == "synthesize.0.generator":
            recipe["synthesize"][0]["generator"] = yaml.safe_load(value)
        else:
            recipe[path] = yaml.safe_load(value)
    file.write_text(yaml.safe_dump(recipe))


def run(part: Part, seeds: list[int]) -> Path:
    """Return the folder of the report."""
    with (part.store / "said.txt").open("w+") as said, service(part) as environment:
        process = subprocess.Popen(
            command(part, seeds), cwd=part.store, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            time.sleep(1)
            keep_stages(part)  # what is done is kept, should the time be up before the report
        said.seek(0)
        words = said.read()
    part.keep("said", words[-3000:])
    if process.returncode:
        raise SystemExit(process.returncode)
    return part.store / words.rpartition("Report: ")[2].splitlines()[0].removesuffix("/report.html")


def keep_stages(part: Part) -> None:
    """Keep the seconds of stages that are done, and the Dice of those that are scored, by the order of their ends."""
    files = sorted((part.store / "runs").glob("*/*/artifact.json"), key=lambda file: file.stat().st_mtime)
    for file in files:
        name = f"stage {file.parent.name} of kind {file.parent.parent.name}"
        if f"{name}, s" not in part.found:
            part.keep(f"{name}, s", float(read_json(file)["seconds"]))
            if file.parent.parent.name == "evaluation":
                part.keep(f"{name}, dice", float(scores(read_evaluation(file.parent).counts[:, 0])["dice"].mean()))


def keep_report(part: Part, report: Path) -> None:
    """Keep the figures of a report."""
    facts = read_json(report / "report.json")
    for name, arm in facts["arms"].items():
        for metric in ("dice", "accuracy", "sensitivity", "specificity"):
            part.keep(f"{name}, {metric}", float(arm["metrics"][metric]["mean"]))
    stages = {stage: round(seconds, 1) for arm in facts["arms"].values() for stage, seconds in arm["seconds"].items()}
    for stage, seconds in sorted(stages.items(), key=lambda item: -item[1]):
        part.keep(f"{stage}, s", seconds)
    part.keep("all stages, s", float(sum(stages.values())))
    part.keep("contrasts", facts["comparison"]["contrasts"])
    part.keep("conditions", json.loads(json.dumps(next(iter(facts["arms"].values()))["conditions"])))
    for picture in sorted(report.glob("figures/synthetic-*.png"))[:1]:
        (part.out / "table1.png").write_bytes(picture.read_bytes())


if __name__ == "__main__":
    begin("table1", measure)
