"""What tbps 0.1.0 wrote still opens, and matches: a checkpoint, a gallery, and the fingerprint of a pretrained CLIP."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tbps_cli.assembly.models import load_encoder
from tbps_cli.checkpoint import open_checkpoint, write_manifest
from tbps_cli.features import open_features
from tbps_cli.recipe import Model
from tbps_cli.recipe.version_0_1 import dump_zero_shot_recipe
from tests.doubles.command import fail_tbps, run_tbps

BEFORE = Path(__file__).parents[1] / "version_0_1_0"
RUN, GALLERY = BEFORE / "run", BEFORE / "g.h5"
FINGERPRINT = "7c9fba2c7ac4"  # as `tbps gallery show` of 0.1.0 said it
ZERO_SHOT = """\
name: zero-shot
seed: 0
data:
  dataset: none
  batch_size: 2
  sampler: person
  cache: false
  workers: 0
  on_missing: stop
images:
  height: 224
  width: 224
  mean:
  - 0.48145466
  - 0.4578275
  - 0.40821073
  std:
  - 0.26862954
  - 0.26130258
  - 0.27577711
  flip: 0.0
  crop_padding: 0
  erase: 0.0
image_encoder:
  kind: clip
  model: ViT-B-16
  stem_blocks: 1
text_encoder:
  kind: clip
  model: ViT-B-16
  stem_blocks: 1
embedding_dim: 512
loss:
  temperature: 0.07
  same_person: negative
optim:
  kind: adamw
  lr: 1.0
  weight_decay: 0.0
  betas:
  - 0.9
  - 0.999
  eps: 1.0e-08
  layer_decay: 1.0
schedule:
  kind: constant
  warmup: 0.0
  warmup_epochs: 0.0
  warmup_start: 0.0
  milestones: []
  factor: 0.1
  by_epoch: false
training:
  epochs: 1
  precision: float32
  micro_batches: 1
  checkpoint_activations: false
  compile: false
  ema: 0.0
  validate_every: 1
  tensorboard: false
"""


def expected() -> list[tuple[str, float]]:
    hits = json.loads((BEFORE / "hits.json").read_text(encoding="utf-8"))["hits"]
    return [(hit["name"], hit["score"]) for hit in hits]


def hits_of(*arguments: object) -> list[tuple[str, float]]:
    result = run_tbps("search", "woman in red coat", *arguments, "-k", 5, "--json")
    assert result.exit_code == 0, result.stderr
    return [(hit["name"], hit["score"]) for hit in json.loads(result.stdout)["hits"]]


def test_a_checkpoint_of_then_has_the_fingerprint_that_galleries_of_then_name() -> None:
    assert open_checkpoint(RUN).fingerprint.startswith(FINGERPRINT)
    with open_features(GALLERY) as features:
        assert features.info.checkpoint_sha256 == open_checkpoint(RUN).fingerprint


def test_a_gallery_of_then_is_searched_with_its_checkpoint_to_the_same_hits() -> None:
    found = hits_of("--gallery", GALLERY, "--checkpoint", RUN)
    assert [name for name, _ in found] == [name for name, _ in expected()]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected()], abs=2e-6)


def test_a_checkpoint_of_then_that_is_exported_now_still_matches(tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert run_tbps("checkpoint", "export", RUN, "--out", out).exit_code == 0
    exported = open_checkpoint(out)
    assert "model.yaml" in exported.digests
    assert not exported.fingerprint.startswith(FINGERPRINT)
    assert exported.formerly == (open_checkpoint(RUN).fingerprint,)
    assert hits_of("--gallery", GALLERY, "--checkpoint", out) == hits_of("--gallery", GALLERY, "--checkpoint", RUN)
    shutil.copyfile(GALLERY, tmp_path / "g.h5")  # exported once more, it still knows both names
    again = tmp_path / "again"
    assert run_tbps("checkpoint", "export", out, "--out", again).exit_code == 0
    assert open_checkpoint(again).fingerprints == exported.fingerprints


def test_another_checkpoint_does_not_match(tiny: object, tmp_path: Path) -> None:
    assert "cannot be compared" in fail_tbps("search", "woman", "--gallery", GALLERY, "--checkpoint", tiny.run)  # type: ignore[attr-defined]


def test_the_model_of_then_is_what_its_recipe_says() -> None:
    model = load_encoder(RUN, torch.device("cpu")).model
    assert (model.images.height, model.images.width, model.embedding_dim) == (32, 16, 32)
    assert model.images.resize == "bicubic"


def test_a_pretrained_clip_is_known_by_its_fingerprint_of_then() -> None:
    encoder = {"kind": "clip", "model": "ViT-B-16", "weights": "/somewhere/weights.safetensors"}
    model = Model.model_validate_json(
        json.dumps(
            {
                "images": {
                    "height": 224,
                    "width": 224,
                    "mean": [0.48145466, 0.4578275, 0.40821073],
                    "std": [0.26862954, 0.26130258, 0.27577711],
                },
                "image_encoder": encoder,
                "text_encoder": encoder,
                "embedding_dim": 512,
            }
        )
    )
    assert dump_zero_shot_recipe(model) == ZERO_SHOT


def test_a_gallery_of_then_is_shown_and_added_to_with_the_exported_checkpoint(crops: Path, tmp_path: Path) -> None:
    model, gallery = tmp_path / "model", tmp_path / "g.h5"
    run_tbps("checkpoint", "export", RUN, "--out", model)
    assert run_tbps("embed", "--checkpoint", RUN, "--images", crops, "--out", gallery).exit_code == 0
    (crops / "new.png").write_bytes((crops / "camera 1" / "grey.PNG").read_bytes())
    added = run_tbps("embed", "--checkpoint", model, "--images", crops, "--append", "--out", gallery, "--json")
    assert added.exit_code == 0, added.stderr
    with open_features(gallery) as features:
        assert features.images is not None
        assert features.images.count == 6
        assert features.info.checkpoint_sha256 in open_checkpoint(model).fingerprints
    assert "another checkpoint" not in run_tbps("gallery", "show", gallery).stdout


def test_galleries_of_then_and_now_are_merged(crops: Path, tmp_path: Path) -> None:
    model, then, now, week = (tmp_path / name for name in ("model", "then.h5", "now.h5", "week.h5"))
    run_tbps("checkpoint", "export", RUN, "--out", model)
    for checkpoint, out, images in ((RUN, then, crops / "camera 1"), (model, now, crops)):
        assert run_tbps("embed", "--checkpoint", checkpoint, "--images", images, "--out", out).exit_code == 0
    with open_features(then) as one, open_features(now) as two:
        assert one.info.checkpoint_sha256 != two.info.checkpoint_sha256
    run_tbps("gallery", "drop", now, "camera 1/grey.PNG")
    for order in ((then, now), (now, then)):
        merged = run_tbps("gallery", "merge", *order, "--out", week, "--overwrite")
        assert merged.exit_code == 0, merged.stderr
        assert run_tbps("search", "man", "--gallery", week).exit_code == 0
    (model / "manifest.json").unlink()  # then nothing says that they are one
    assert "cannot be compared" in fail_tbps("gallery", "merge", then, now, "--out", week, "--overwrite")


def test_a_model_without_a_report_or_a_recipe_is_shown_and_exported(tmp_path: Path) -> None:
    model, bare = tmp_path / "model", tmp_path / "bare"
    run_tbps("checkpoint", "export", RUN, "--out", model)
    for name in ("recipe.yaml", "report.json", "README.md", "manifest.json"):
        (model / name).unlink()
    write_manifest(model)
    shown = run_tbps("checkpoint", "show", model)
    assert shown.exit_code == 0, shown.stderr
    assert "unknown" in shown.stdout
    assert run_tbps("checkpoint", "export", model, "--out", bare).exit_code == 0
    assert hits_of("--gallery", GALLERY, "--checkpoint", RUN)[0][0] == expected()[0][0]
    assert open_checkpoint(bare).fingerprint == open_checkpoint(model).fingerprint
