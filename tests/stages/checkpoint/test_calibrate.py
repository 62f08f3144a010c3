"""Which score tells that nobody is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tbps_cli.assembly.models import load_encoder, read_least_score
from tbps_cli.checkpoint import open_checkpoint, write_manifest
from tbps_cli.data.annotations import read_annotations
from tbps_cli.data.records import select_split
from tbps_cli.errors import CheckpointError
from tbps_cli.toypedes.dataset import read_truth
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.tiny import TinyRun


@pytest.fixture(scope="module")
def calibrated(tiny: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("calibrated") / "model"
    result = run_tbps(
        "checkpoint", "export", tiny.run, "--out", out, "--half", "--calibrate", "toy-tiny", "--root", tiny.root
    )
    assert result.exit_code == 0, result.output
    return out


def test_halves_are_another_model_that_embeds_alike(calibrated: Path, tiny: TinyRun) -> None:
    half, whole = (load_encoder(path, torch.device("cpu")) for path in (calibrated, tiny.run))
    assert half.checkpoint.fingerprint not in whole.checkpoint.fingerprints
    assert not set(half.checkpoint.fingerprints) & set(whole.checkpoint.fingerprints)
    images = torch.rand(4, 3, 32, 16)
    likeness = (half.dual.encode_image(images) * whole.dual.encode_image(images)).sum(1)
    assert likeness.min() > 0.9999
    sizes = [(path / "image_encoder.safetensors").stat().st_size for path in (calibrated, tiny.run / "best")]
    assert sizes[0] < 0.65 * sizes[1]


def test_the_score_is_what_a_slow_loop_finds(calibrated: Path, tiny: TinyRun) -> None:
    """Of captions alone; the short queries are only counted."""
    encoder = load_encoder(calibrated, torch.device("cpu"))
    folder = tiny.root / "ToyPEDES-tiny"
    records = select_split(read_annotations("toy-tiny", folder).records, "val", dataset="toy-tiny")
    pixels = [encoder.transform.normalise(encoder.transform.read(record.image)[None]) for record in records]
    rows = [encoder.dual.encode_image(image)[0] for image in pixels]
    present, absent = [], []
    for record in records:
        for caption in record.captions:
            query = encoder.dual.encode_text(*encoder.tokenizer([caption]))[0]
            scores = [float(row @ query) for row in rows]
            present.append(max(scores))
            absent.append(max(s for s, r in zip(scores, records, strict=True) if r.person_id != record.person_id))
    pairs = [(p > a) + 0.5 * (p == a) for p in present for a in absent]
    said = open_checkpoint(calibrated).read_json("report.json")["least_score"]
    assert said["area_captions"] == pytest.approx(np.mean(pairs), abs=2e-3)
    assert said["queries"] > len(present)
    assert -1 < said["score"] < max(present)
    assert len(read_truth(folder, "val")) == len(records)


def test_search_says_when_nobody_is_likely(calibrated: Path, tiny: TinyRun, tmp_path: Path) -> None:
    gallery = tmp_path / "g.h5"
    run_tbps("embed", "--checkpoint", calibrated, "--dataset", "toy-tiny", "--root", tiny.root, "--out", gallery)
    least = read_least_score(open_checkpoint(calibrated))
    assert least is not None
    found = run_tbps("search", "woman in red coat", "--gallery", gallery, "--json")
    hits = json.loads(found.stdout)["hits"]
    assert [hit["is_likely"] for hit in hits] == [hit["score"] >= least for hit in hits]
    for score, is_said in ((0.9999, True), (-0.9999, False)):
        _set_score(calibrated, score)
        found = run_tbps("search", "woman in red coat", "--gallery", gallery)
        assert ("perhaps nobody here" in found.stderr) is is_said
        assert len(found.stdout.splitlines()) == 11  # the hits are shown all the same
    by_image = run_tbps("search", "--image", next(tiny.root.rglob("*.jpg")), "--gallery", gallery, "--json")
    assert {hit["is_likely"] for hit in json.loads(by_image.stdout)["hits"]} == {None}
    _set_score(calibrated, least)


def test_a_model_without_calibration_says_nothing(tiny: TinyRun) -> None:
    found = run_tbps("search", "woman in red coat", "--gallery", tiny.gallery, "--json")
    assert "perhaps nobody" not in found.stderr
    assert {hit["is_likely"] for hit in json.loads(found.stdout)["hits"]} == {None}


@pytest.mark.parametrize("damaged", ["0.3", 7, None, True, [], float("nan")])
def test_a_score_that_is_none_is_refused(calibrated: Path, damaged: object) -> None:
    least = read_least_score(open_checkpoint(calibrated))
    _set_score(calibrated, damaged)
    try:
        with pytest.raises(CheckpointError, match=r"report.json: least_score.score must be a number from -1 to 1"):
            read_least_score(open_checkpoint(calibrated))
    finally:
        _set_score(calibrated, least)


def test_a_split_without_captions_of_two_people_is_refused(tiny: TinyRun, tmp_path: Path) -> None:
    image = next(tiny.root.rglob("*.jpg"))
    table = tmp_path / "one.csv"
    table.write_text(f"image,caption,person_id,split\n{image.name},a man,1,val\n")
    out = tmp_path / "m"
    said = fail_tbps("checkpoint", "export", tiny.run, "--out", out, "--calibrate", table, "--root", image.parent)
    assert "no captions of at least two people" in said
    assert not out.exists()


def _set_score(checkpoint: Path, score: object) -> None:
    report = json.loads((checkpoint / "report.json").read_text())
    report["least_score"]["score"] = score
    (checkpoint / "report.json").write_text(json.dumps(report))
    write_manifest(checkpoint)
