"""What a model's name says, and that nothing heavy is imported or built to know it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tbps_cli.encoders.clip import describe_clip
from tbps_cli.errors import RecipeError

OPENAI = (0.48145466, 0.4578275, 0.40821073)


@pytest.mark.parametrize(
    ("model", "dimensions", "side", "mean", "context", "is_causal"),
    [
        ("ViT-B-16", 512, 224, OPENAI, 77, True),
        ("ViT-B-16-quickgelu", 512, 224, OPENAI, 77, True),
        ("ViT-B-16-SigLIP2-256", 768, 256, (0.5, 0.5, 0.5), 64, False),
        ("EVA02-B-16", 512, 224, OPENAI, 77, True),
        ("MobileCLIP-S1", 512, 256, (0.0, 0.0, 0.0), 77, False),
        ("PE-Core-B-16", 1024, 224, (0.5, 0.5, 0.5), 32, True),
        ("ViT-L-14-CLIPA", 768, 224, (0.485, 0.456, 0.406), 32, False),
    ],
)
def test_sizes_and_normalisation_are_those_of_the_training(
    model: str, dimensions: int, side: int, mean: tuple[float, ...], context: int, is_causal: bool
) -> None:
    import open_clip

    if model not in open_clip.list_models():
        pytest.skip(f"this open_clip has no {model}")
    sizes = describe_clip(model)
    assert (sizes.embedding_dim, sizes.image_height, sizes.image_width) == (dimensions, side, side)
    assert sizes.mean == mean
    assert (sizes.context_length, sizes.is_causal) == (context, is_causal)


def test_weights_may_be_normalised_unlike_the_others_of_their_model() -> None:
    assert describe_clip("ViT-L-14", "laion2b_s32b_b82k").mean == (0.5, 0.5, 0.5)
    assert describe_clip("ViT-L-14", "openai").mean == describe_clip("ViT-L-14").mean == OPENAI


def test_nothing_is_built_to_describe_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for half in ("vision", "text"):
        monkeypatch.delattr(f"open_clip.model._build_{half}_tower")
    describe_clip("ViT-bigG-14")


def test_an_unknown_model_is_refused_with_the_closest() -> None:
    with pytest.raises(RecipeError, match=r"open_clip has no model 'ViT-B/16'. It has ViT-B-16"):
        describe_clip("ViT-B/16")


def test_neither_the_small_pair_nor_the_names_of_clip_import_open_clip() -> None:
    code = (
        "import sys, tbps_cli.encoders.small, tbps_cli.encoders.clip, tbps_cli.encoders.clip.tokenizer; "
        "sys.exit(bool({'open_clip', 'timm', 'transformers'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
