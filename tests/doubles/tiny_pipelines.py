"""Tiny pipelines in the shapes of Stable Diffusion 1, 2 and XL, with random weights: built in a moment."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from tbps_cli.libraries import import_diffusers, import_transformers
from tbps_cli.proximity.diffusion.pipeline import Pipeline

Shape = Literal["sd1", "sd2", "xl"]
CONTEXT = 24  # tokens of a prompt
SIZE = (16, 8)  # of the latents: pictures of 32 x 16
WORDS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey", "coat", "shirt",
    "trousers", "shoes", "woman", "man", "wearing",
)  # fmt: skip
SCHEDULE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False,
    "set_alpha_to_one": False, "steps_offset": 1,
}  # fmt: skip


def build_tiny_pipeline(shape: Shape = "sd1", seed: int = 0, sample_size: Any = SIZE, blocks: int = 2) -> Pipeline:
    """Frozen. UNet: `blocks` resolutions, all with attention; autoencoder: halves once. Weights are large enough
    that words and places matter."""
    diffusers = import_diffusers()
    transformers = import_transformers("CLIPTextModel", "CLIPTextModelWithProjection")
    tokenizer = build_tokenizer()
    is_xl = shape == "xl"
    of_xl = {
        "addition_embed_type": "text_time", "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 8 + 6 * 4,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = Pipeline(
            vae=diffusers.AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                block_out_channels=(4, 4),
                layers_per_block=1,
                norm_num_groups=2,
                mid_block_add_attention=False,
                scaling_factor=0.5,
            ),
            unet=diffusers.UNet2DConditionModel(
                sample_size=sample_size,
                down_block_types=("CrossAttnDownBlock2D",) * blocks,
                up_block_types=("CrossAttnUpBlock2D",) * blocks,
                block_out_channels=(8,) * blocks,
                layers_per_block=1,
                cross_attention_dim=16 if is_xl else 8,
                attention_head_dim=2,
                norm_num_groups=2,
                **(of_xl if is_xl else {}),
            ),
            text_encoder=transformers.CLIPTextModel(_text_config(transformers, tokenizer)),
            tokenizer=tokenizer,
            scheduler=diffusers.DDIMScheduler(
                **SCHEDULE, prediction_type="v_prediction" if shape == "sd2" else "epsilon"
            ),
        )
        if is_xl:
            config = _text_config(transformers, tokenizer)
            pipeline.second_text_encoder = transformers.CLIPTextModelWithProjection(config)
            pipeline.second_tokenizer = tokenizer
        with torch.no_grad():
            for name, weight in pipeline.unet.named_parameters():
                if "attn2" in name and ("to_q" in name or "to_k" in name):
                    weight.mul_(4)  # so that attention is not everywhere the same
    return pipeline.freeze()


def with_schedule(pipeline: Pipeline, **changed: Any) -> Pipeline:
    """The same weights under another schedule."""
    config = {key: value for key, value in pipeline.scheduler.config.items() if not key.startswith("_")} | changed
    return replace(pipeline, scheduler=import_diffusers().DDIMScheduler.from_config(config))


@cache
def build_tokenizer(context: int = CONTEXT) -> Any:
    """CLIP's, with merges for `WORDS` alone: every one of them is one token, every other word its letters."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    transformers = import_transformers("CLIPTokenizer")
    marks = list(bytes_to_unicode().values())
    tokens = [*marks, *(f"{mark}</w>" for mark in marks)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:  # what the merges so far leave of it is merged from the left
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        for pair in merges:
            while pair in pairwise(pieces):
                place = list(pairwise(pieces)).index(pair)
                pieces[place : place + 2] = ["".join(pair)]
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces[:2] = ["".join(pieces[:2])]
    tokens = [*dict.fromkeys([*tokens, *map("".join, merges)]), "<|startoftext|>", "<|endoftext|>"]
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "vocab.json").write_text(json.dumps({token: row for row, token in enumerate(tokens)}))
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges)]) + "\n")
        return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=context)


def _text_config(transformers: Any, tokenizer: Any) -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        projection_dim=8,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
