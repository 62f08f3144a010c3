"""Pretrained weights: a file, a folder or a name on the Hugging Face hub -> tensors by key -> a module.

Knows files and keys, not which encoder they belong to. Nothing in them is unpickled: safetensors,
or torch's own reader with `weights_only=True`. Every key is accounted for: weights that half fit
are refused.
"""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tbps_cli.errors import CheckpointError
from tbps_cli.paths import is_file, is_folder, list_folder, open_file, refuse_closed, size_of

# What a folder calls its weights, the likeliest first. A folder of the hub may hold both kinds: then `model` is
# the timm or transformers model and `open_clip_model` the pair that open_clip reads.
WEIGHT_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin", "model.safetensors")
MOST_BYTES = 16 << 30  # several times the largest CLIP
_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_SUFFIXES = (".safetensors", *_TORCH_SUFFIXES)
_HUB_NAME = re.compile(r"(?:hf[-_]hub:)?(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
# What torch's reader raises over damaged bytes; of `pickle` only the class of its error is wanted.
_DAMAGED = (
    torch.serialization.pickle.UnpicklingError,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    struct.error,
)


def read_weights(source: str | Path, names: Sequence[str] = WEIGHT_FILES) -> dict[str, Tensor]:
    """The tensors of a weights file, of the one weights file in a folder, or of a repository on the hub.

    Files: `.safetensors`, or `.pt`, `.pth`, `.bin`, `.ckpt`. Hub: `owner/name`, `hf-hub:owner/name`,
    either with `@revision`. `names` are the file names to look for in a folder or repository, best
    first. One level of `state_dict` or `model` is unwrapped, a `module.` before all keys removed,
    half precision becomes float32.

    Raises CheckpointError for what is absent, damaged, no weights, or can only be read by running it.
    """
    path = find_file(source, names)
    if path.suffix.lower() not in _SUFFIXES:
        raise CheckpointError(f"{path}: not a weights file; give one that ends in {', '.join(_SUFFIXES)}.")
    size = size_of(path, CheckpointError)
    with open_file(path, CheckpointError) as file:
        start = file.read(64)
    if not start:
        raise CheckpointError(f"{path}: empty. Download it again.")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path}: not the weights but git's pointer to them. Fetch them: git lfs pull")
    if size > MOST_BYTES:
        raise CheckpointError(f"{path}: {size:,} bytes; no encoder here is larger than {MOST_BYTES:,}. Is it the file?")
    content = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    return _clean(_unwrap(content, path), path)


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], *, source: str, dropped: Sequence[str] = ()
) -> None:
    """Copy `tensors` into `module`, whose state they must be: no key missing, none left over, every shape equal.

    `dropped`: glob patterns of keys that this family never needs; those may be left over. `source`
    names the weights in messages. The module is unchanged when they do not fit.

    Raises CheckpointError with the keys that do not fit.
    """
    state = module.state_dict()
    missing = [key for key in state if key not in tensors]
    left_over = [
        key for key in tensors if key not in state and not any(fnmatchcase(key, pattern) for pattern in dropped)
    ]
    unlike = [
        f"{key} {_describe(tensors[key])} for {_describe(state[key])}"
        for key in state
        if key in tensors and _describe(tensors[key]) != _describe(state[key])
    ]
    if missing or left_over or unlike:
        complaints = [
            _list("missing", missing),
            _list("left over", left_over),
            _list("of another shape or type", unlike),
        ]
        raise CheckpointError(
            f"{source}: these weights do not fit {type(module).__name__}: {'; '.join(filter(None, complaints))}. "
            f"{_hint(missing, left_over, unlike, len(state))}"
        )
    module.load_state_dict({key: tensors[key] for key in state}, strict=True)


def strip_shared_prefix(
    tensors: Mapping[str, Tensor], count_known: Callable[[Collection[str]], int]
) -> tuple[dict[str, Tensor], str]:
    """Tensors without what wrappers put before all keys (`model.`, `_orig_mod.`), and what that was.

    count_known: of some keys, how many are the model's. What all keys begin with, up to a dot, is left out where more
    of them are known then, and as little of it as possible.
    """
    first = min(tensors)
    prefixes = [first[: match.end()] for match in re.finditer(r"\.", first)]
    shared = ["", *(prefix for prefix in prefixes if all(key.startswith(prefix) for key in tensors))]
    best = max(shared, key=lambda prefix: count_known([key.removeprefix(prefix) for key in tensors]))
    return {key.removeprefix(best): tensor for key, tensor in tensors.items()}, best


def find_file(source: str | Path, names: Sequence[str]) -> Path:
    """The file that `source` is, or the first of `names` in the folder or hub repository that it is.

    A folder without any of them may hold one weights file of another name, if `names` are weights.
    The hub's cache on this machine is asked before the hub.

    Raises CheckpointError when there is none.
    """
    if is_file(source):
        return Path(source)
    if is_folder(source):
        return _find_in_folder(Path(source), names)
    refuse_closed(source, CheckpointError)
    name = source if isinstance(source, str) and not source.startswith(".") and not source.endswith(_SUFFIXES) else ""
    if match := _HUB_NAME.fullmatch(name):
        return _find_on_hub(match["name"], match["revision"], names)
    raise CheckpointError(
        f"{source}: no such file or folder. Give a file, a folder with {names[0]}, or a name on the Hugging Face "
        "hub such as google-bert/bert-base-uncased."
    )


def _find_in_folder(folder: Path, names: Sequence[str]) -> Path:
    found = [path.name for path in list_folder(folder, CheckpointError) if is_file(path)]
    for name in names:
        if name in found:
            return folder / name
    sharded = [name for name in found if name.endswith((".safetensors.index.json", ".bin.index.json"))]
    if sharded:
        raise CheckpointError(
            f"{folder}: its weights are cut into several files ({sharded[0]}). Join them into one model.safetensors."
        )
    others = [name for name in found if name.endswith(_SUFFIXES)] if names[0].endswith(_SUFFIXES) else []
    if len(others) > 1:
        raise CheckpointError(f"{folder}: {_list('weights files', others)}. Give the path of the one that is meant.")
    if not others:
        raise CheckpointError(f"{folder}: holds no {' or '.join(names)}. Put the file there, or give another folder.")
    return folder / others[0]


def _find_on_hub(name: str, revision: str | None, names: Sequence[str]) -> Path:
    """A file of a hub repository, from this machine's cache or else downloaded."""
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    http_errors: tuple = HfHubHTTPError.__bases__  # of whichever HTTP library this version is built on
    page = f"https://huggingface.co/{name}" + (f"/tree/{revision}" if revision else "")
    advice = f"Download {' or '.join(names)} from {page} and give the folder that holds it instead of the name."
    try:
        for file in names:
            cached = huggingface_hub.try_to_load_from_cache(name, file, revision=revision)
            if isinstance(cached, str):
                return Path(cached)
        for file in names:
            try:
                return Path(huggingface_hub.hf_hub_download(name, file, revision=revision))
            except LocalEntryNotFoundError:  # an EntryNotFoundError too, but the hub was not reached
                raise
            except EntryNotFoundError:
                continue
    except HFValidationError:
        raise CheckpointError(f"{name}: no such folder, and no name that the hub allows.") from None
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"{name}: no such folder, not in the hub's cache on this machine, and the hub cannot be reached. {advice}"
        ) from None
    except (*http_errors, OSError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointError(f"{name}: the hub refused or broke off ({reason}). {advice}") from None
    raise CheckpointError(f"{name}: {page} holds no {' or '.join(names)}. Give another name or a file.")


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged, or no safetensors ({error}). Download it again.") from None


def _read_torch(path: Path) -> object:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > size_of(path, CheckpointError):  # torch compresses nothing
                raise CheckpointError(f"{path}: a compressed archive, which torch never writes. Download it again.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except (*_DAMAGED, zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{path}: {_explain(error)}") from None


def _explain(error: BaseException) -> str:
    """Why torch's reader refused a file, and what to do about it."""
    text = str(error)
    if "TorchScript" in text:
        return (
            "a TorchScript program, not weights, and programs of strangers are not run here. Take the same weights as "
            "safetensors: the hub has them (OpenAI's CLIP: timm/vit_base_patch16_clip_224.openai)."
        )
    name = re.search(r"(?:GLOBAL |Unsupported (?:global|class) )([\w.]+)", text)
    if name or ".tar format" in text:
        what = f"{name[1]}, which is no tensor" if name else "more than tensors"
        return (
            f"it holds {what}; reading that would run the file's code, so it is refused. If you trust the file, save "
            "its weights alone: torch.save(state_dict, …) of its tensors, or safetensors.torch.save_file."
        )
    reason = text.partition(".")[0][:120] or type(error).__name__
    return f"damaged, or no weights file of torch ({reason}). Download it again."


def _unwrap(content: object, path: Path) -> Mapping[object, object]:
    """The state dict of a file, which training scripts like to put one level down."""
    if isinstance(content, Mapping):
        for level in ("state_dict", "model"):
            if isinstance(content.get(level), Mapping):
                return content[level]
        return content
    raise CheckpointError(
        f"{path}: holds a {type(content).__name__}, not tensors by name. Save model.state_dict() instead."
    )


def _clean(content: Mapping[object, object], path: Path) -> dict[str, Tensor]:
    """Plain float32 or integer tensors in memory, without a `module.` before every key."""
    if not content:
        raise CheckpointError(f"{path}: holds no tensor.")
    tensors: dict[str, Tensor] = {}
    total = 0
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: {key!r} is a {type(value).__name__}, not a tensor. Save model.state_dict() alone."
            )
        total += value.numel() * 4
        if total > MOST_BYTES:
            raise CheckpointError(f"{path}: its tensors are larger than {MOST_BYTES:,} bytes. Is it the right file?")
        tensors[key] = _to_plain(value.detach(), key, path)
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return tensors


def _to_plain(tensor: Tensor, key: str, path: Path) -> Tensor:
    floating = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    whole = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.dtype not in floating + whole:
        kind = f"{tensor.dtype}, {tensor.layout}, {tensor.device}".replace("torch.", "")
        raise CheckpointError(f"{path}: {key} is {kind}. Save the weights as plain float32 or float16 tensors.")
    if tensor.dtype in whole:
        return tensor
    if not bool(tensor.isfinite().all()):
        raise CheckpointError(f"{path}: {key} holds values that are not finite numbers; the file is damaged.")
    return tensor.float()


def _describe(tensor: Tensor) -> str:
    """(768, 3, 16, 16); what is copied must agree in this."""
    shape = "(" + ", ".join(map(str, tensor.shape)) + ")"
    return shape if tensor.is_floating_point() else f"{shape} of whole numbers"


def _list(what: str, names: Sequence[str]) -> str:
    """ "2 missing (a, b)", the first ten by name; nothing for none."""
    if not names:
        return ""
    more = ", …" if len(names) > 10 else ""
    return f"{len(names):,} {what} ({', '.join(names[:10])}{more})"


def _hint(missing: Sequence[str], left_over: Sequence[str], unlike: Sequence[str], wanted: int) -> str:
    if len(missing) > wanted // 2:
        return "They are of another architecture; give the weights of this one, or name theirs in the recipe."
    if missing:
        return "They are of another depth or variant; name the model in the recipe that they were made with."
    if unlike:
        return "They are of another size; name the model in the recipe that they were made with."
    return "They bring more than this encoder has, an extra classifier or more blocks; give the weights of this model."
