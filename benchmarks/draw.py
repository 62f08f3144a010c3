"""How fast ToyPEDES is drawn: images a second of one core, captions, masks and files included.

    python benchmarks/draw.py
    python benchmarks/draw.py --people 200 --processes 2

CPU seconds are counted as well as wall seconds: on a busy machine only the former say something.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from tbps_cli.toypedes.dataset import ToySize, draw_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()

    size = ToySize(train=arguments.people, val=0, test=0)
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.monotonic(), cpu_seconds()
        draw_dataset(Path(folder) / "toy", size, processes=arguments.processes)
        wall, cpu = time.monotonic() - wall, cpu_seconds() - cpu
    print(f"{size.images} images, {arguments.processes} process(es): {size.images / wall:.0f} images/s, ", end="")
    print(f"{size.images / cpu:.0f} images a CPU second")


def cpu_seconds() -> float:
    """Of this process and of the children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
