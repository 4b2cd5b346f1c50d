"""How long a stroke on the page of `augkit paint` takes, from the request to the last byte of the picture.

    python benchmarks/paint.py [--quick]

The server runs in this process and is asked over HTTP, as a browser asks it, for 12 strokes a row (4 with --quick).
Networks have their initial weights, which take as long as trained ones. What the browser adds is not in it.
"""

import argparse
import http.client
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from concurrent.futures import Future
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import uvicorn

from augkit import Format, GeneratorPart, load_recipe
from augkit.store import seal
from augkit_mask2lesion.architecture import Architecture
from augkit_mask2lesion.options import Mask2LesionOptions
from augkit_mask2lesion.painter import save_generator
from augkit_paint.listening import listen, settings
from augkit_paint.server import make_app
from augkit_paint.studio import Generator, Studio

NETWORKS = {
    "mask2lesion": Mask2LesionOptions(),
    "mask2lesion, width 16": Mask2LesionOptions(width=16),
    "mask2lesion-spade, width 16": Mask2LesionOptions(width=16, network="spade", upsample="nearest", dropout="none"),
}


def generator(name: str, size: int, folder: Path) -> GeneratorPart:
    """Return a generator to paint with at a size."""
    if name == "texture":
        with resources.as_file(resources.files("augkit_paint").joinpath("start.yaml")) as recipe:
            study = load_recipe(recipe, changes=[f"dataset.phantom.size={size}"])
        (parts,) = study.parts(out=folder / "runs", device="cpu", train=True)
        return parts.generators[0]
    torch.manual_seed(0)
    architecture = Architecture.of(NETWORKS[name], size, Format())
    place = folder / f"{name}-{size}"
    place.mkdir()
    save_generator(architecture.build(), architecture, Format(), place, {"source": "initial weights"})
    seal(place, {"generator": "mask2lesion"})
    return GeneratorPart("mask2lesion", {}, 1, place)


def milliseconds(part: GeneratorPart, size: int, strokes: int, folder: Path) -> list[float]:
    """Return how long each of some strokes takes."""
    studio = Studio([Generator(part, "", "cpu")], (), Format(), (size, size), 0, folder / "s", folder / "d")
    opened: Future[Studio] = Future()
    opened.set_result(studio)
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 4 : size // 2] = 1
    times = []
    with listen(None) as place:
        server = uvicorn.Server(settings(make_app(opened, place.hosts, place.token)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place.socket]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        connection = http.client.HTTPConnection("127.0.0.1", place.port)
        for i in range(strokes + 2):  # the first ones open the generator
            mask[size // 2 + i % 8, : size // 2 + i] = 1
            began = time.perf_counter()
            connection.request("POST", f"/{place.token}/paint?generator=0&numbers=0&draft=1", mask.tobytes())
            answer = connection.getresponse()
            answer.read()
            times.append((time.perf_counter() - began) * 1000)
            assert answer.status == 200
        connection.close()
        server.should_exit = True
        thread.join()
    return times[2:]


def main() -> None:
    """Measure, print a table, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    strokes = 4 if parser.parse_args().quick else 12
    values = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in (64, 128):
            for name in ("texture", *NETWORKS):
                times = milliseconds(generator(name, size, Path(folder)), size, strokes, Path(folder))
                values[f"{name} {size}"] = round(statistics.median(times), 1)
                middle, least = values[f"{name} {size}"], min(times)
                print(f"{name:<28} {size:>4} x {size:<4} median {middle:7.1f} ms, least {least:7.1f}")
    record = {
        "benchmark": "paint",
        "ratios": {},
        "values": values,
        "machine": {"cores": os.cpu_count(), "threads": torch.get_num_threads(), "processor": platform.machine()},
        "versions": {name: version(name) for name in ("augkit", "torch", "numpy")},
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
