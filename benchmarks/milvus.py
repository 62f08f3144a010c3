"""What Milvus Lite does with a gallery: pushing, kills, searching, filtering, dropping, beside the file itself.

    python benchmarks/milvus.py --rows 20000 --kills 2

Random unit rows with a column `camera` are pushed by the installed program; a second collection is pushed while the
program is killed with SIGKILL at random moments, and started again until it ends by itself. Then both hold as many
images as the gallery, and a search of either, with and without a condition, gives the ten hits that the file gives.
What is dropped is found no more. Seconds are of whole processes, the start of the embedded server included.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cold_search import save_encoder, write_gallery

PROGRAM = str(Path(sys.executable).with_name("tbps"))
CAMERAS = 16
QUERIES = ["woman in red coat", "red coat", "woman", "coat in red"]  # of the words that the checkpoint knows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        gallery = place / "g.h5"
        save_encoder(place / "checkpoint", arguments.dimension)
        write_gallery(place / "checkpoint", gallery, arguments.rows, arguments.dimension, cameras=CAMERAS)
        print(f"{arguments.rows:,} rows x {arguments.dimension}")
        whole, killed = str(place / "whole.db"), str(place / "killed.db")
        report, seconds = call("gallery", "push", str(gallery), "--to", whole, "--json")
        print(f"  push            {seconds:6.1f} s, {report['count']:,} images")
        again, seconds_again = call("gallery", "push", str(gallery), "--to", whole, "--json")
        print(f"  push again      {seconds_again:6.1f} s, {again['sent']:,} sent")
        moments = random.Random(arguments.seed)
        for _ in range(arguments.kills):
            kill_after(moments.uniform(0.25, 0.5) * seconds, "gallery", "push", str(gallery), "--to", killed)
        report, seconds = call("gallery", "push", str(gallery), "--to", killed, "--json")
        print(
            f"  after {arguments.kills} kills   {seconds:6.1f} s, {report['sent']:,} sent, {report['count']:,} images"
        )
        if report["count"] != arguments.rows or again["sent"] or again["count"] != arguments.rows:
            raise SystemExit("  images are missing, or there twice")
        queries = place / "queries.txt"
        queries.write_text("\n".join(QUERIES) + "\n")
        for condition in ([], ["--where", "camera=3"]):
            expected, file_seconds = search(str(gallery), queries, condition)
            for other in (whole, killed):
                found, seconds = search(other, queries, condition)
                if found != expected:
                    raise SystemExit(f"  {other} {condition}: other hits than the file")
            label = "where camera=3 " if condition else f"{len(QUERIES)} queries      "
            print(f"  {label} {seconds:6.1f} s, the file {file_seconds:.1f} s, the same ten hits")
        gone = expected[0][0]
        _, seconds = call("gallery", "drop", killed, gone, "--json")
        found, _ = search(killed, queries, ["--where", "camera=3"])
        if gone in found[0] or found[0][:9] != expected[0][1:]:
            raise SystemExit(f"  {gone} was dropped, and the first query finds {found[0]}")
        print(f"  drop            {seconds:6.1f} s, and it is found no more")


def call(*arguments: str) -> tuple[Any, float]:
    """What `tbps` prints as JSON, and its seconds."""
    began = time.perf_counter()
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout), time.perf_counter() - began


def kill_after(seconds: float, *arguments: str) -> None:
    process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
        print("  (ended before it was killed)")
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def search(gallery: str, queries: Path, condition: list[str]) -> tuple[list[list[str]], float]:
    """The names of each query's hits, best first."""
    found, seconds = call("search", "--queries", str(queries), "--gallery", gallery, "--json", *condition)
    return [[hit["name"] for hit in one["hits"]] for one in found["searches"]], seconds


if __name__ == "__main__":
    main()
