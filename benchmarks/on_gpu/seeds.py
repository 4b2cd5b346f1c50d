"""More seeds of Table 1, one after the other for as long as there is time, for a verdict."""

import time

from on_gpu.part import Part, begin
from on_gpu.table1 import keep_report, run

MOST = 6


def measure(part: Part) -> None:
    """Add a seed as long as another one will be done in time; the stages of those before are there already."""
    seeds, longest = [0], 0.0
    while len(seeds) < (2 if part.tiny else MOST) and part.left() > longest:
        began = time.monotonic()
        seeds.append(len(seeds))
        keep_report(part, run(part, seeds))
        longest = time.monotonic() - began
        part.keep("seeds", len(seeds))


if __name__ == "__main__":
    begin("seeds", measure)
