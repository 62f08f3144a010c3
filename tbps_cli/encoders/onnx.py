"""Both halves of a dual encoder as ONNX files: unit vectors without Python, torch or tbps.

    image_encoder.onnx   images (B, 3, H, W) float32, normalised     -> embeddings (B, D), unit vectors
    text_encoder.onnx    token_ids (B, L) int64, token_mask (B, L)   -> embeddings (B, D), unit vectors

B is free; L is free, up to the context length. Reading, resizing and normalising images and cutting captions into
tokens stay with the caller.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tbps_cli.encoders.dual import DualEncoder
from tbps_cli.errors import DependencyError


class _ImageHalf(nn.Module):
    def __init__(self, dual: DualEncoder) -> None:
        super().__init__()
        self.dual = dual

    def forward(self, images: Tensor) -> Tensor:
        return self.dual.encode_image(images)


class _TextHalf(nn.Module):
    def __init__(self, dual: DualEncoder) -> None:
        super().__init__()
        self.dual = dual

    def forward(self, token_ids: Tensor, token_mask: Tensor) -> Tensor:
        return self.dual.encode_text(token_ids, token_mask)


def export_image_encoder(dual: DualEncoder, height: int, width: int, out: Path) -> None:
    """Write the image half. Raises DependencyError without the extra `onnx`."""
    half = _ImageHalf(DualEncoder(dual.image_encoder, None)).eval()
    _export(half, (torch.zeros(2, 3, height, width),), ["images"], [{0: "batch"}], out)


def export_text_encoder(dual: DualEncoder, token_ids: Tensor, token_mask: Tensor, out: Path) -> None:
    """Write the text half, traced with the tokens of two captions (2, L). Raises DependencyError."""
    half = _TextHalf(DualEncoder(None, dual.text_encoder)).eval()
    axes = {0: "batch", 1: "tokens"}
    _export(half, (token_ids, token_mask), ["token_ids", "token_mask"], [axes, axes], out)


def _export(
    half: nn.Module, arguments: tuple[Tensor, ...], names: list[str], axes: list[dict[int, str]], out: Path
) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise DependencyError("ONNX files need the package onnxscript: pip install 'tbps-cli[onnx]'") from None
    shapes = tuple({axis: torch.export.Dim(name) for axis, name in one.items()} for one in axes)
    if len(shapes) == 2:
        shapes = (shapes[0], shapes[0])  # ids and mask have the same axes
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # it reports its steps there
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            half,
            arguments,
            input_names=names,
            output_names=["embeddings"],
            dynamic_shapes=shapes,
            dynamo=True,
        )
        assert program is not None
        _forget_sources(program.model)
        program.save(out, external_data=False)


def _forget_sources(model: Any) -> None:
    """Remove what the exporter writes of source files and their places on this machine."""
    for graph in (model.graph, *model.functions.values()):
        graph.metadata_props.clear()
        graph.doc_string = None
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
        for value in (*graph.inputs, *graph.outputs):
            value.metadata_props.clear()
    model.metadata_props.clear()
