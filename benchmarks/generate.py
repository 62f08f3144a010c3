"""Edits a minute and UNet evaluations an edit, against the published procedure on the same pipeline.

    python benchmarks/generate.py --data fidelity --edits 32
    python benchmarks/generate.py --device cuda --precision bf16 --random-sd --edits 32

The rival is what the released code does: null-text inversion in 50 steps at guidance 7.5, Prompt-to-Prompt with
attention control and local blend, one image at a time, and a reconstruction of the source that is thrown away. It runs
on our own functions with its settings, so that only the procedure differs. Fidelity as in benchmarks/fidelity.py, where
the truth is known: on ToyPEDES with the small pipeline. `--random-sd` takes a UNet, an autoencoder and a text encoder
of the sizes of Stable Diffusion 1.5 with random weights, for time alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from fidelity import KINDS, Case, measure, plan_cases, summarise
from inversion import PAPER
from PIL import Image

from tbps_cli.libraries import import_diffusers, import_transformers
from tbps_cli.proximity.diffusion.editor import DiffusionEditor, DiffusionSettings
from tbps_cli.proximity.diffusion.loading import PRECISIONS, load_pipeline
from tbps_cli.proximity.diffusion.pipeline import Pipeline
from tbps_cli.proximity.generator import EditedImage, Refusal, Request
from tbps_cli.proximity.judge.judge import Judge
from tbps_cli.proximity.lexicon import Lexicon, read_lexicon
from tbps_cli.proximity.plan.colours import COLOUR, PlannedEdit
from tbps_cli.toypedes.dataset import SIZES, draw_dataset


class PublishedProcedure:
    """One image at a time, each drawn once more without an edit."""

    fingerprint = "published"
    kinds = frozenset({COLOUR})

    def __init__(self, editor: DiffusionEditor) -> None:
        self.editor = editor

    def generate(
        self, requests: Sequence[Request[PlannedEdit]], sources: Sequence[Image.Image]
    ) -> list[EditedImage | Refusal]:
        """One result a request, in order."""
        results: list[EditedImage | Refusal] = []
        for request, source in zip(requests, sources, strict=True):
            (result,) = self.editor.generate([request], [source])
            assert isinstance(result, EditedImage)
            results.append(replace(result, evaluations=result.evaluations + self._reconstruct(source)))
        return results

    @torch.no_grad()
    def _reconstruct(self, source: Image.Image) -> int:
        """Draw the source with guidance, two rows a step; nobody looks at it. Returns the UNet's evaluations."""
        pipeline, sampler = self.editor.pipeline, self.editor.sampler
        latents = pipeline.to_latents(self.editor.canvas.fit(source)[None])
        prompts = pipeline.embed(["", ""])
        for step in sampler.times:
            negative, positive = pipeline.predict(torch.cat((latents, latents)), step, prompts).chunk(2)
            latents = sampler.down(negative + 7.5 * (positive - negative), step, latents)
        return 2 * len(sampler.times)


def build_random_sd(weights: str, precision: str, device: torch.device) -> Pipeline:
    """The sizes of Stable Diffusion 1.5, random weights; the tokenizer is the small pipeline's."""
    diffusers, transformers = import_diffusers(), import_transformers("CLIPTextModel", "CLIPTextConfig")
    small = load_pipeline(weights)
    text = transformers.CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    pipeline = Pipeline(
        vae=diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=4,
        ),
        unet=diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768),
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=small.tokenizer,
        scheduler=diffusers.DDIMScheduler.from_config(small.scheduler.config, prediction_type="epsilon"),
    )
    for name, module in pipeline.modules.items():
        module.to(device, torch.float32 if name == "vae" else PRECISIONS[precision])
        if name != "text_encoder":
            module.to(memory_format=torch.channels_last)
    return pipeline.freeze()


def run(name: str, editor: Any, cases: Sequence[Case], batch: int, fidelity: bool) -> dict[str, float]:
    """Time an editor, and print its line."""
    began = time.perf_counter()
    if fidelity:
        summary = summarise(list(measure(editor, cases, judge=Judge(), batch=batch)))
    else:
        results = []
        for start in range(0, len(cases), batch):
            part = cases[start : start + batch]
            results += editor.generate([case.edit.as_request() for case in part], [case.source for case in part])
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        summary = {"UNet": sum(result.evaluations for result in results) / len(results)}
    summary["edits a minute"] = 60 * len(cases) / (time.perf_counter() - began)
    columns = ("edits a minute", "UNet", "target", "dE", "PSNR")
    cells = [f"{summary[column]:.2f}" if column in summary else "–" for column in columns]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("fidelity"), help="folder of ToyPEDES, drawn when absent")
    parser.add_argument("--weights", default="toypedes", help="another pipeline than the one that comes with tbps")
    parser.add_argument("--edits", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=list(PRECISIONS))
    parser.add_argument("--random-sd", action="store_true")
    arguments = parser.parse_args()
    device, lexicon = torch.device(arguments.device), read_lexicon()
    root = draw_dataset(arguments.data / "ToyPEDES-small", SIZES["toy-small"])
    cases = plan_cases(root, arguments.edits, KINDS)

    def build(settings: DiffusionSettings, lexicon: Lexicon) -> DiffusionEditor:
        if arguments.random_sd:
            return DiffusionEditor(
                build_random_sd(arguments.weights, arguments.precision, device), lexicon, settings, 512, 256
            )
        return DiffusionEditor(load_pipeline(arguments.weights, device, arguments.precision), lexicon, settings)

    print("| | edits a minute | UNet | target | dE | PSNR |\n| --- | --- | --- | --- | --- | --- |")
    fidelity = not arguments.random_sd
    published = PublishedProcedure(build(DiffusionSettings(**PAPER), lexicon))
    rival = run("published procedure", published, cases, 1, fidelity)
    ours = run("ours", build(DiffusionSettings(), lexicon), cases, arguments.batch, fidelity)
    print(
        f"\nratio: {ours['edits a minute'] / rival['edits a minute']:.1f} times the edits a minute, "
        f"1 / {rival['UNet'] / ours['UNet']:.1f} of the UNet evaluations"
    )


if __name__ == "__main__":
    main()
