"""A small pipeline in the shape of Stable Diffusion, with random weights: what `fit` makes out of nothing.

For pictures of 128 x 64 pixels of drawn people: large enough to learn which garment has which colour,
small enough for a CPU. Every part is the library's own class, so that whatever edits with it edits
with Stable Diffusion.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import torch

from tbps_cli.files import scratch_folder
from tbps_cli.libraries import import_diffusers, import_transformers
from tbps_cli.proximity.diffusion.pipeline import Pipeline

HEIGHT, WIDTH = 128, 64
CONTEXT = 32  # tokens of a prompt
VOCABULARY = 700  # at most: 512 bytes, and what the captions hold
TEXT_WIDTH = 128
LATENT_CHANNELS = 4


def build_small_pipeline(captions: Iterable[str], seed: int) -> Pipeline:
    """Untrained; its tokens are those of the captions. The same arguments give the same weights."""
    diffusers, transformers = import_diffusers(), import_transformers("CLIPTextModel", "CLIPTokenizer")
    tokenizer = _train_tokenizer(captions)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Pipeline(
            vae=diffusers.AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                block_out_channels=(24, 48, 64),
                layers_per_block=1,
                latent_channels=LATENT_CHANNELS,
                norm_num_groups=8,
                sample_size=HEIGHT,
                mid_block_add_attention=False,
            ),
            unet=diffusers.UNet2DConditionModel(
                sample_size=(HEIGHT // 4, WIDTH // 4),
                in_channels=LATENT_CHANNELS,
                out_channels=LATENT_CHANNELS,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                block_out_channels=(48, 96, 128),
                layers_per_block=1,
                cross_attention_dim=TEXT_WIDTH,
                attention_head_dim=4,
                norm_num_groups=16,
            ),
            text_encoder=transformers.CLIPTextModel(
                transformers.CLIPTextConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=TEXT_WIDTH,
                    intermediate_size=2 * TEXT_WIDTH,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    max_position_embeddings=CONTEXT,
                    projection_dim=TEXT_WIDTH,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                )
            ),
            tokenizer=tokenizer,
            # DDPM's schedule. At the noisiest step of Stable Diffusion's, so much is left of so small an image that the
            # colour of a garment can be read off it, and prompts are hardly listened to.
            scheduler=diffusers.DDIMScheduler(
                beta_start=0.0001,
                beta_end=0.02,
                beta_schedule="linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
                prediction_type="v_prediction",
            ),
        )


def _train_tokenizer(captions: Iterable[str]):  # type: ignore[no-untyped-def]  # of transformers, which is untyped
    """Byte pairs like CLIP's, of the words in the captions."""
    transformers = import_transformers("CLIPTokenizerFast", "CLIPTokenizer")
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    marks = bytes_to_unicode().values()
    tokens = [*marks, *(f"{mark}</w>" for mark in marks), "<|startoftext|>", "<|endoftext|>"]
    with scratch_folder() as folder:
        (folder / "vocab.json").write_text(json.dumps({token: row for row, token in enumerate(tokens)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        untrained = transformers.CLIPTokenizerFast.from_pretrained(folder, model_max_length=CONTEXT)
        trained = untrained.train_new_from_iterator(captions, VOCABULARY)
        model = json.loads(trained.backend_tokenizer.to_str())["model"]
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
        return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=CONTEXT)
