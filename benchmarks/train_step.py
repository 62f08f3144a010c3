"""What the training engine costs: a step of it, beside the same encoders in a bare loop.

    python benchmarks/train_step.py --model paper clip --batch 16
    python benchmarks/train_step.py --model clip --device cuda --precision bf16 --batch 64 256 --micro-batches 4

`paper` is ViT-B/16 at 384×128 with stride 12 and BERT (195 M parameters), `clip` CLIP ViT-B/16 at that size; both with
random weights on random pixels, captions of 40 tokens. The bare loop embeds both sides, takes InfoNCE, goes backward
and steps the same optimizer. Fastest of some steps, after one that warms up, the two taken in turn. On a GPU it also
says images/s, peak memory, and the share of the card's peak that the model's own operations reach (--peak-tflops).
Run it when nothing else does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from tbps_cli.encoders.bert import BertTextEncoder
from tbps_cli.encoders.clip import ClipImageEncoder, ClipTextEncoder
from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.encoders.vit import VitImageEncoder
from tbps_cli.losses.contrastive import ContrastiveLoss, ContrastiveTerm
from tbps_cli.runtime import autocast, find_device
from tbps_cli.training.batches.batch import PairBatch
from tbps_cli.training.objective import Objective, ScheduledTerm
from tbps_cli.training.optim import build_optimizer
from tbps_cli.training.trainer import Trainer

TEMPERATURE, TOKENS = 0.02, 40
SIZE = {"image_height": 384, "image_width": 128}


def build(model: str) -> tuple[DualEncoder, int]:
    """The pair, and how many ids its text half knows."""
    torch.manual_seed(0)
    if model == "paper":
        image = VitImageEncoder(model="vit_base_patch16_384", stride=12, **SIZE)
        return DualEncoder(image, BertTextEncoder(vocabulary_size=30_522, dropout=0.0)), 30_522
    name = "ViT-B-16-quickgelu"
    return DualEncoder(ClipImageEncoder(model=name, **SIZE), ClipTextEncoder(model=name)), 49_408


def make_batch(size: int, ids: int, device: torch.device) -> PairBatch:
    generator = torch.Generator().manual_seed(0)
    return PairBatch(
        images=torch.randn(size, 3, 384, 128, generator=generator),
        token_ids=torch.randint(1, ids, (size, TOKENS), generator=generator),
        token_mask=torch.ones(size, TOKENS, dtype=torch.bool),
        person_ids=torch.arange(size),
        image_ids=torch.arange(size),
    ).to(device)


def step_bare(
    dual: DualEncoder, optimizer: torch.optim.Optimizer, batch: PairBatch, cast: Callable[[], object]
) -> None:
    """What anybody would write."""
    optimizer.zero_grad(set_to_none=True)
    with cast():  # type: ignore[attr-defined]
        images = dual.encode_image(batch.images)
        texts = dual.encode_text(batch.token_ids, batch.token_mask)
    logits = images @ texts.T / TEMPERATURE
    own = torch.arange(len(logits), device=logits.device)
    loss: Tensor = (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2
    loss.backward()
    optimizer.step()
    float(loss.detach())


def step_engine(trainer: Trainer, batch: PairBatch) -> None:
    trainer.train_epoch(
        [batch],
        1,
        seed=0,
        progress=lambda done: done,
        learning_rate=lambda done: 1e-6,
        on_step=lambda loss: None,
        on_bad_batch=lambda batch, number: Path(),
    )


def measure(steps: dict[str, Callable[[], None]], repeat: int, device: torch.device) -> dict[str, float]:
    """Fastest seconds of each, taken in turn so that a busy moment hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeat + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["paper", "clip"], nargs="+", default=["paper", "clip"])
    parser.add_argument("--batch", type=int, nargs="+", default=[16])
    parser.add_argument("--micro-batches", type=int, default=1)
    parser.add_argument("--precision", choices=["float32", "bf16", "fp16"], nargs="+", default=["float32"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peak-tflops", type=float, help="of the card, at this precision")
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    for model in arguments.model:
        dual, ids = build(model)
        dual = dual.to(device).train()
        parameters = sum(parameter.numel() for parameter in dual.parameters())
        optimizer = build_optimizer([dual], lr=1e-6)
        term = ContrastiveTerm(ContrastiveLoss(TEMPERATURE), dual.normalise)
        for precision in arguments.precision:
            cast = partial(autocast, device, precision)
            trainer = Trainer(
                dual,
                Objective({"contrastive": ScheduledTerm(term)}),
                optimizer,
                device,
                autocast=cast,
                scale_gradients=precision == "fp16",
                micro_batches=arguments.micro_batches,
            )
            for size in arguments.batch:
                batch = make_batch(size, ids, device)
                steps: dict[str, Callable[[], None]] = {"engine": partial(step_engine, trainer, batch)}
                if arguments.micro_batches == 1:
                    steps = {"bare": partial(step_bare, dual, optimizer, batch, cast), **steps}
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                found = measure(steps, arguments.repeat, device)
                line = f"{model} ({parameters:,}) batch {size} {precision} on {device}: "
                line += ", ".join(f"{name} {seconds:.3f} s" for name, seconds in found.items())
                if "bare" in found:
                    line += f", engine / bare {found['engine'] / found['bare']:.3f}"
                line += f", {size / found['engine']:.1f} images/s"
                if device.type == "cuda":
                    line += f", peak {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
                if arguments.peak_tflops:
                    with FlopCounterMode(display=False) as counter:
                        step_bare(dual, optimizer, make_batch(8, ids, device), cast)
                    share = counter.get_total_flops() / 8 * size / found["engine"] / (arguments.peak_tflops * 1e12)
                    line += f", {share:.0%} of the peak"
                print(line, flush=True)


if __name__ == "__main__":
    main()
