"""The commands of docs/cluster.md about Ray, in order, on two nodes of this machine."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ray_nodes import TwoNodes

PAGE = Path(__file__).parents[1] / "docs" / "cluster.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)

RECIPE = """
name: {name}
dataset: {{phantom: {{train: 12, validation: 4, test: 6, size: 32}}}}
segmenter: {{unet: {{width: {width}, steps: 20, batch_size: 4}}}}
"""


def blocks():
    part = re.search(r"^## On Ray$(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S).group(1)
    return BLOCK.findall(part)


def commands(program):
    lines = [line for language, text in blocks() if not language for line in text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith(f"{program} ")]


def options(words):
    """The options of `ray start` but for address and port, which are of this machine here."""
    return [word for word in words if not word.startswith(("--head", "--port", "--address"))]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_about_ray_do_what_they_promise(tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install 'augkit[ray]'")
    for name, width in (("a", 4), ("b", 2)):
        (tmp_path / f"{name}.yaml").write_text(RECIPE.format(name=name, width=width))
    (written,) = (text for language, text in blocks() if language == "yaml")
    (tmp_path / "cluster.yaml").write_text(written)
    (alone, joined), (head, other) = commands("augkit"), commands("ray")
    assert (head[:2], other[:2]) == (["start", "--head"], ["start", "--address=head:6379"])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done(alone, tmp_path, environment)
    two = TwoNodes(tmp_path, head=options(head[1:]), node=options(other[1:]))
    try:
        done([*joined, "--out=joined", "--device=cpu"], tmp_path, two.environment)
    finally:
        two.end()
    assert trained(tmp_path / "runs") < trained(tmp_path / "joined")
    assert len(trained(tmp_path / "joined")) == 4


def done(words, folder, environment):
    command = [sys.executable, "-m", "augkit", *words]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def trained(out):
    """Hashes of the weights of all trained networks."""
    manifests = [json.loads(file.read_text()) for file in out.glob("segmenter/*/artifact.json")]
    return {one["files"]["unet.safetensors"]["sha256"] for one in manifests}
