"""How much do models lose when drawn people are seen by another camera? rank-1 on ToyPEDES' test, as it is and shifted.

python benchmarks/shifted.py [toypedes runs/toy …] --data data
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from tbps_cli.assembly.datasets import open_dataset
from tbps_cli.assembly.models import LoadedEncoder, load_encoder
from tbps_cli.data.images import ImageFiles, load_pixels
from tbps_cli.data.records import PersonRecord, flatten_captions, select_split
from tbps_cli.retrieval.metrics.retrieval import rank_queries
from tbps_cli.runtime import SILENCE
from tbps_cli.stages.embed.split import batches_of, embed_captions
from tbps_cli.training.batches.camera import Camera

CAMERAS = {
    "as drawn": Camera(),
    "framing": Camera(framing=1),
    "light": Camera(light=1),
    "sensor": Camera(sensor=1),
    "all three": Camera(1, 1, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["toypedes"])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds, or gets, ToyPEDES")
    options = parser.parse_args()
    _, records = open_dataset("toy", options.data, SILENCE)
    records = select_split(records, "test", dataset="toy")
    print(f"| rank-1, % | {' | '.join(CAMERAS)} |\n| --- |{' --- |' * len(CAMERAS)}")
    for model in options.models:
        encoder = load_encoder(model, torch.device("cpu"))
        cells = [f"{100 * _rank_1(encoder, records, camera):.1f}" for camera in CAMERAS.values()]
        print(f"| {model} | {' | '.join(cells)} |", flush=True)


@torch.inference_mode()
def _rank_1(encoder: LoadedEncoder, records: list[PersonRecord], camera: Camera) -> float:
    files = ImageFiles([record.image for record in records], encoder.transform)
    images = torch.cat(
        [
            encoder.dual.encode_image(encoder.transform.normalise(camera(batch.pixels, batch.rows)))
            for batch in load_pixels(files, batches_of(len(files)))
        ]
    )
    pairs = flatten_captions(records)
    texts = torch.cat([rows for _, rows in embed_captions(encoder.dual, encoder.tokenizer, pairs.captions)])
    people = torch.tensor([record.person_id for record in records])
    return rank_queries(texts, torch.tensor(pairs.person_ids), images, people).rank_1


if __name__ == "__main__":
    main()
