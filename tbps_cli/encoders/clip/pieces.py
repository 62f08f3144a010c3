"""Where the token ids of CLIP come from: byte pairs that open_clip ships, or the pieces of a tokenizer.json.

One text at a time. Knows what begins and ends a caption, and nothing of batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tbps_cli.encoders.clip.sizes import read_clip_config
from tbps_cli.encoders.weights import find_file
from tbps_cli.encoders.words import readable
from tbps_cli.errors import CheckpointError, RecipeError
from tbps_cli.libraries import import_open_clip
from tbps_cli.paths import exists, is_file, read_text

PIECES, SETTINGS = "tokenizer.json", "tokenizer_config.json"
LARGEST_TEXT = 64 << 20  # bytes; the largest tokenizer.json of open_clip's models has half of it


class Pieces(Protocol):
    """Where token ids come from: one text at a time, without padding."""

    padding: int  # the id that fills a row

    def encode(self, text: str, most: int) -> list[int]:
        """At most `most` ids, those that begin and end a caption among them, however long the text is."""

    def count(self, text: str) -> int:
        """How many ids the whole text needs."""

    def find_unknown(self, text: str) -> list[str]:
        """The parts of a text that have no id of their own."""

    def dump(self) -> dict[str, Any]:
        """All that `load_pieces` needs to make these pieces again, besides the name of the model."""


class BytePairs:
    """The 49,408 byte pairs of OpenAI's CLIP, which come with open_clip: <start_of_text> … <end_of_text>."""

    def __init__(self, model: str) -> None:
        self.padding = 0
        settings = read_clip_config(model)["text_cfg"].get("tokenizer_kwargs", {})
        import_open_clip()
        from open_clip.tokenizer import SimpleTokenizer

        self.tokenizer: Any = SimpleTokenizer(clean=settings.get("clean", "lower"))

    def encode(self, text: str, most: int) -> list[int]:
        ids = self._encode(text)
        return [self.tokenizer.sot_token_id, *ids[: most - 2], self.tokenizer.eot_token_id]

    def count(self, text: str) -> int:
        return len(self._encode(text)) + 2

    def find_unknown(self, text: str) -> list[str]:
        return []

    def dump(self) -> dict[str, Any]:
        return {}

    def _encode(self, text: str) -> list[int]:
        """Ids of the text alone; a start or end that is written out in it is none."""
        return [piece for piece in self.tokenizer.encode(readable(text)) if piece not in self.tokenizer.all_special_ids]


class HubPieces:
    """A tokenizer.json, read by the library that it was written with; `text` is what the file holds.

    Raises CheckpointError when it is damaged.
    """

    def __init__(self, model: str, text: object, padding: object) -> None:
        config = read_clip_config(model)["text_cfg"]
        settings, self.limit = config.get("tokenizer_kwargs", {}), config["vocab_size"]
        if not isinstance(text, str) or type(padding) is not int or not 0 <= padding < self.limit:
            raise CheckpointError(f"the tokenizer of {model} is damaged, or of another model. Fetch it again.")
        self.model, self.padding = model, padding
        import_open_clip()
        from open_clip.tokenizer import get_clean_fn

        self.clean = get_clean_fn(settings.get("clean", "whitespace"))
        self.tokenizer = _parse_pieces(model, text)
        # CLIPA was trained with its [SEP] blanked out.
        self.blanked = self.tokenizer.token_to_id("[SEP]") if settings.get("strip_sep_token") else None

    def encode(self, text: str, most: int) -> list[int]:
        encoding = self._encode(text)
        encoding.truncate(most - self.tokenizer.num_special_tokens_to_add(False))
        ids = self.tokenizer.post_process(encoding).ids
        if max(ids, default=0) >= self.limit:
            raise CheckpointError(
                f"the tokenizer has a piece number {max(ids)}, and {self.model} knows {self.limit}: another model's. "
                f"Take that of {_find_hub_name(self.model)}."
            )
        return [0 if piece == self.blanked else piece for piece in ids]

    def count(self, text: str) -> int:
        return len(self._encode(text).ids) + self.tokenizer.num_special_tokens_to_add(False)

    def find_unknown(self, text: str) -> list[str]:
        marks = {self.tokenizer.token_to_id(mark) for mark in ("<unk>", "[UNK]")} - {None}
        encoding, cleaned = self._encode(text), self._clean(text)
        spans = [span for piece, span in zip(encoding.ids, encoding.offsets, strict=True) if piece in marks]
        return list(dict.fromkeys(part for start, end in spans if (part := cleaned[start:end].strip())))

    def dump(self) -> dict[str, Any]:
        return {"padding": self.padding, "pieces": self.tokenizer.to_str()}

    def _encode(self, text: str) -> Any:
        return self.tokenizer.encode(self._clean(text), add_special_tokens=False)

    def _clean(self, text: str) -> str:
        return self.clean(readable(text))


def read_pieces(model: str, source: str | Path | None = None) -> Pieces:
    """Those that a model was trained with: open_clip's own, or a tokenizer from a folder or the hub.

    Raises RecipeError for a model whose captions cannot be read here, CheckpointError when the
    tokenizer cannot be had.
    """
    name = _find_hub_name(model)
    return BytePairs(model) if name is None else _read_hub_pieces(model, name if source is None else source)


def load_pieces(model: str, content: Mapping[str, Any]) -> Pieces:
    """What `dump` returned. Raises as `read_pieces` does."""
    if _find_hub_name(model) is None:
        return BytePairs(model)
    return HubPieces(model, content.get("pieces"), content.get("padding"))


def _find_hub_name(model: str) -> str | None:
    """The repository whose tokenizer a model needs; None: the byte pairs that open_clip ships."""
    config = read_clip_config(model)["text_cfg"]
    mode = config.get("tokenizer_mode")
    if mode:
        raise RecipeError(f"{model}: its tokenizer mode {mode!r} is not supported. Choose another model.")
    return config.get("hf_tokenizer_name") or None


def _read_hub_pieces(model: str, source: str | Path) -> HubPieces:
    path = find_file(source, (PIECES,))
    settings_path = path.with_name(SETTINGS)
    if not is_file(settings_path):
        settings_path = find_file(path.parent if exists(Path(source)) else source, (SETTINGS,))
    text, settings = _read_text(path), _parse_object(_read_text(settings_path), settings_path)
    if settings.get("padding_side", "right") != "right":
        raise CheckpointError(f"{settings_path}: pads at the left, which {model} was not trained with. Take another.")
    named = settings.get("pad_token")
    named = named.get("content") if isinstance(named, dict) else named
    parsed = _parse_pieces(model, text)
    ids = [parsed.token_to_id(token) for token in (named, "[PAD]", "<pad>") if isinstance(token, str)]
    padding = next((number for number in ids if number is not None), None)
    if padding is None:
        raise CheckpointError(f"{settings_path}: names no pad_token. Take the tokenizer of {_find_hub_name(model)}.")
    return HubPieces(model, text, padding)


def _read_text(path: Path) -> str:
    return read_text(path, CheckpointError, "Download it again.", most=LARGEST_TEXT)


def _parse_object(text: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged JSON ({error}). Download it again.") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not an object. Download it again.")
    return content


def _parse_pieces(model: str, text: str) -> Any:
    """A tokenizer of the library `tokenizers`, one that cuts and pads nothing."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(
            f"the tokenizer of {model} is damaged, or no {PIECES} ({error}). Fetch it again."
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # written out in a caption, they are plain text
    return tokenizer
