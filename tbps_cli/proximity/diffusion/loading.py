"""Reading a pipeline from a folder, the hub or this package, and writing one.

Of weights only safetensors are read, and no code that comes with them is run: nothing is unpickled.
A pipeline lies in a folder as diffusers writes it; a safety checker is neither needed nor loaded, as
no image is made from words alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError

from tbps_cli.errors import CheckpointError
from tbps_cli.files import unwritable
from tbps_cli.libraries import import_diffusers, import_transformers
from tbps_cli.memory import at_most
from tbps_cli.paths import exists, is_file, is_folder, list_folder, read_text, size_of
from tbps_cli.proximity.diffusion.pipeline import Pipeline
from tbps_cli.proximity.diffusion.prompts import Wording

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NEEDED = ("vae", "unet", "text_encoder", "tokenizer", "scheduler")
LARGEST_CONFIG, LARGEST_SIZE, MOST_LAYERS = 1_000_000, 1_000_000, 256  # bytes; channels, words; blocks
BYTES = 2 * 256  # tokens that every tokenizer of CLIP's kind has: bytes, inside and at the end of a word
WORDING = "_tbps_prompt"  # in model_index.json; diffusers passes over names that begin so
Precision = Literal["float32", "bf16", "fp16"]
SHIPPED = {"toypedes": Path(__file__).with_name("toypedes")}  # how it was made: docs/generation.md


def load_pipeline(weights: str, device: torch.device | None = None, precision: Precision = "float32") -> Pipeline:
    """The pipeline that comes with tbps under that name, or that of a folder, or of that name on the hub; frozen.

    Raises CheckpointError for one that is missing, damaged, or not in the shape of Stable Diffusion.
    """
    if weights not in SHIPPED and "/" not in weights and not exists(Path(weights)):
        raise CheckpointError(
            f"{weights}: no such folder, and pipelines on the hub are called OWNER/NAME. Give one of these, or "
            f"{', '.join(SHIPPED)}, which comes with tbps."
        )
    weights = str(SHIPPED.get(weights, weights))
    parts = _read_index(weights)
    diffusers = import_diffusers()
    transformers = import_transformers("CLIPTextModel", "CLIPTextModelWithProjection", "CLIPTokenizer")
    dtype = PRECISIONS[precision]

    def read(kind: Any, part: str, **keywords: Any) -> Any:
        with _bounded(Path(weights, part)):
            return _read_part(kind.from_pretrained, weights, part, keywords)

    model = {"torch_dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    pipeline = Pipeline(
        vae=read(diffusers.AutoencoderKL, "vae", **model | {"torch_dtype": torch.float32}),  # XL's overflows in fp16
        unet=read(diffusers.UNet2DConditionModel, "unet", **model),
        text_encoder=read(transformers.CLIPTextModel, "text_encoder", **model),
        tokenizer=read(transformers.CLIPTokenizer, "tokenizer"),
        # Of other schedulers the configuration says nothing of clipping, and DDIM's default is that of pixels.
        scheduler=read(diffusers.DDIMScheduler, "scheduler", clip_sample=False),
    )
    if parts.get("text_encoder_2"):
        pipeline.second_text_encoder = read(transformers.CLIPTextModelWithProjection, "text_encoder_2", **model)
        pipeline.second_tokenizer = read(transformers.CLIPTokenizer, "tokenizer_2")
    if pipeline.scheduler.config.timestep_spacing == "linspace":  # of other schedulers, and none to invert along
        pipeline.scheduler.register_to_config(timestep_spacing="leading")
    pipeline.wording = _read_wording(parts, weights)
    _check_shape(pipeline, weights)
    for part, module in pipeline.modules.items():
        module.to(device or torch.device("cpu"))
        if part in ("vae", "unet"):
            module.to(memory_format=torch.channels_last)
    return pipeline.freeze()


def save_pipeline(pipeline: Pipeline, folder: Path) -> None:
    """Write what diffusers and `load_pipeline` read. Raises OutputError."""
    diffusers = import_diffusers("StableDiffusionPipeline")
    parts: dict[str, Any] = {**pipeline.modules, "tokenizer": pipeline.tokenizer, "scheduler": pipeline.scheduler}
    kind = "StableDiffusionPipeline"
    if pipeline.second_text_encoder is not None:
        kind, parts["tokenizer_2"] = "StableDiffusionXLPipeline", pipeline.second_tokenizer
    index: dict[str, Any] = {"_class_name": kind, "_diffusers_version": diffusers.__version__}
    if pipeline.wording is not None:
        index[WORDING] = pipeline.wording
    if pipeline.second_text_encoder is None:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    try:
        for name, part in parts.items():
            part.save_pretrained(folder / name)
            index[name] = [type(part).__module__.partition(".")[0], type(part).__name__]
        (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise unwritable(folder, error, "place, or go on with --resume") from None


def _read_wording(index: Mapping[str, Any], place: str) -> Wording | None:
    found = index.get(WORDING)
    for known in get_args(Wording):
        if found == known:
            return known  # type: ignore[no-any-return]
    if found is not None:
        raise CheckpointError(
            f"{place}: model_index.json says that its prompts are {str(found)[:40]!r}; this tbps knows "
            f"{', '.join(get_args(Wording))}. Install the tbps that fitted it."
        )
    return None


def _read_index(place: str) -> Mapping[str, Any]:
    """What parts a pipeline says that it has."""
    diffusers = import_diffusers("DiffusionPipeline")
    folder = Path(place)
    if is_folder(folder) and not is_file(folder / "model_index.json"):
        raise CheckpointError(
            f"{place}: no diffusers pipeline: model_index.json is missing. Give the folder that holds it, beside "
            f"{', '.join(NEEDED)}."
        )
    try:
        index = diffusers.DiffusionPipeline.load_config(place)
        if not isinstance(index, dict):
            raise ValueError("its model_index.json is no mapping")
    except (OSError, ValueError, TypeError) as error:  # of the hub's errors, all are OSErrors
        raise CheckpointError(
            f"{place}: cannot be read as a diffusers pipeline ({_first_line(error)}). Give a folder that diffusers "
            "wrote, or a name on the hub; without a network, one that was fetched before."
        ) from None
    missing = [part for part in NEEDED if not _is_named(index.get(part))]
    if missing:
        raise CheckpointError(
            f"{place}: not in the shape of Stable Diffusion: it has no {', '.join(missing)}. Editing works with "
            "pipelines of Stable Diffusion 1.x, 2.x and XL."
        )
    if index["text_encoder"][1] not in ("CLIPTextModel", "CLIPTextModelWithProjection") or index["unet"][1] not in (
        "UNet2DConditionModel",
    ):
        raise CheckpointError(
            f"{place}: its text encoder is a {index['text_encoder'][1]} and its UNet a {index['unet'][1]}; editing "
            "works with CLIPTextModel and UNet2DConditionModel: Stable Diffusion 1.x, 2.x and XL."
        )
    return dict(index)


def _is_named(part: Any) -> bool:
    """Whether an entry of the index is a library and a class."""
    return isinstance(part, list | tuple) and len(part) == 2 and all(isinstance(name, str) for name in part)


@contextmanager
def _bounded(part: Path) -> Iterator[None]:
    """Refuse a part of a folder that says that it is larger than its weights. Raises CheckpointError."""
    if not is_folder(part):  # it lies in the hub's cache
        yield
        return
    if exists(part / "config.json"):
        _check_sizes(part / "config.json")
    files = [path for path in list_folder(part, CheckpointError) if path.suffix == ".safetensors"]
    held = sum(size_of(path, CheckpointError) for path in files)  # a byte may be a number
    message = f"{part}: its config.json asks for more numbers than its weights hold. Fetch the pipeline again."
    with at_most(held, CheckpointError, message):
        yield


def _check_sizes(path: Path) -> None:
    """Refuse a configuration of a model that nobody can build. Raises CheckpointError."""
    wrong: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, value in pairs:
            values = value if isinstance(value, list) else [value]
            most = MOST_LAYERS if "layers" in name else LARGEST_SIZE
            if len(values) > MOST_LAYERS or any(isinstance(one, int) and one > most for one in values):
                wrong.append(f"{name} is {str(value)[:60]}")
        return dict(pairs)

    try:
        json.loads(read_text(path, CheckpointError, most=LARGEST_CONFIG), object_pairs_hook=look)
    except (ValueError, RecursionError) as error:
        wrong.append(f"it is damaged JSON ({error})")
    if wrong:
        raise CheckpointError(f"{path}: {wrong[0]}, which no pipeline has. Fetch it again.")


def _read_part(read: Callable[..., Any], place: str, part: str, keywords: dict[str, Any]) -> Any:
    try:
        loaded = read(place, subfolder=part, **keywords)
    except Exception as error:  # every library below raises its own kinds for a damaged file
        raise CheckpointError(
            f"{place}: its {part} cannot be read ({_first_line(error)}). Only safetensors are read; fetch or convert "
            "the pipeline again."
        ) from error
    if not keywords.get("output_loading_info"):
        return loaded
    model, found = loaded
    missing = sorted(found["missing_keys"])
    if missing:  # which the libraries would leave at random values
        raise CheckpointError(
            f"{place}: of its {part} {len(missing)} weight(s) are missing, the first is {missing[0]}. Fetch or convert "
            "the pipeline again."
        )
    return model


def _check_shape(pipeline: Pipeline, place: str) -> None:
    channels = pipeline.vae.config.latent_channels
    if (pipeline.unet.config.in_channels, pipeline.unet.config.out_channels) != (channels, channels):
        raise CheckpointError(
            f"{place}: its UNet takes {pipeline.unet.config.in_channels} channels and gives "
            f"{pipeline.unet.config.out_channels}, and a latent has {channels}. An inpainting or depth model cannot "
            "edit."
        )
    of_unet = pipeline.unet.config
    told = of_unet.class_embed_type or of_unet.num_class_embeds or of_unet.addition_embed_type
    if told and told != "text_time":
        raise CheckpointError(
            f"{place}: its UNet is told more than words ({told}). Editing works with pipelines of Stable Diffusion "
            "1.x, 2.x and XL."
        )
    width = pipeline.text_encoder.config.hidden_size
    if pipeline.second_text_encoder is not None:
        width += pipeline.second_text_encoder.config.hidden_size
    if pipeline.unet.config.cross_attention_dim != width:
        raise CheckpointError(
            f"{place}: its UNet attends to vectors of {pipeline.unet.config.cross_attention_dim} numbers, and its text "
            f"encoder gives {width}. The parts are not of one pipeline."
        )
    _check_words(pipeline.tokenizer, pipeline.text_encoder, "tokenizer", place)
    if pipeline.second_text_encoder is not None:
        _check_words(pipeline.second_tokenizer, pipeline.second_text_encoder, "tokenizer_2", place)


def _check_words(tokenizer: Any, encoder: Any, part: str, place: str) -> None:
    words, known = max(len(tokenizer), tokenizer.vocab_size), encoder.config.vocab_size
    if words < BYTES:  # transformers takes a folder without a vocabulary for an empty one
        raise CheckpointError(
            f"{place}: its {part} cannot be read (it knows {words:,} tokens). Fetch or convert the pipeline again."
        )
    if words > known:
        raise CheckpointError(
            f"{place}: its {part} knows {words:,} tokens, and its text encoder {known:,}. The parts are not of one "
            "pipeline."
        )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]
