"""Descriptions that an index is measured with: a gallery's captions, a file's lines, or drawn from the lexicon.

Never images: those lie among the rows that an index has learned from, and flatter it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tbps_cli.data.lists import Line
from tbps_cli.encoders.tokenizer import Tokenizer
from tbps_cli.errors import QueryError
from tbps_cli.features import FeatureFile, FeatureTable
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.stages.embed.split import embed_captions
from tbps_cli.stages.search.queries import check_line, read_lines
from tbps_cli.stages.search.query_encoder import load_query_encoder

MOST = 200


@dataclass(frozen=True)
class Descriptions:
    """Q descriptions as vectors, and where they are from: "captions", "file" or "generated"."""

    embedded: Tensor  # (Q, D)
    source: str


def find_descriptions(
    features: FeatureFile, queries: Path | None, checkpoint: str | None, *, seed: int, device: str
) -> Descriptions:
    """Take descriptions from a file, else from the gallery's captions, else make some; at most MOST, by chance.

    Only captions need no checkpoint.

    Raises:
        QueryError: the file cannot be read or describes nobody, or the model knows no word of the lexicon.
        FeatureError: the captions are damaged.
        CheckpointError: the gallery's checkpoint is missing.
    """
    random = np.random.default_rng(seed)
    lines = [] if queries is None else [line for line in read_lines(queries) if line.meant]
    if queries is None and features.captions is not None:
        return Descriptions(_read_some(features.captions, random), "captions")
    encoder = load_query_encoder(features.info, str(features.path), checkpoint, device)
    if queries is None:
        texts = describe_people(encoder.tokenizer, random)
    else:
        texts = [_check(line, queries, encoder.tokenizer) for line in _sample(lines, random)]
    embedded = torch.cat([rows for _, rows in embed_captions(encoder.dual, encoder.tokenizer, texts)])
    return Descriptions(embedded, "generated" if queries is None else "file")


def describe_people(tokenizer: Tokenizer, random: np.random.Generator) -> list[str]:
    """Draw descriptions such as "woman in red coat and black jeans", of words that the model knows.

    Raises QueryError: it knows too few.
    """
    lexicon = read_lexicon()
    parts = [lexicon.list_phrases(kind) for kind in ("person", "upper", "lower")]
    people, tops, bottoms = (_singular_words(phrases, tokenizer) for phrases in parts)
    colours = [colour for colour in lexicon.proposed if _is_known(colour, tokenizer)]
    if not (people and tops and bottoms and colours):
        raise QueryError(
            "the gallery has no captions, and its model knows too few English words for descriptions to be made. "
            "Give some, one a line: --queries FILE"
        )
    drawn = [
        f"{person} in {colour} {top} and {other} {bottom}"
        for person, colour, top, other, bottom in zip(
            *(random.choice(words, MOST) for words in (people, colours, tops, colours, bottoms)), strict=True
        )
    ]
    return list(dict.fromkeys(drawn))


def _singular_words(phrases: list[str], tokenizer: Tokenizer) -> list[str]:
    """Those of one word that the model knows; "coats" goes where "coat" is."""
    words = {phrase for phrase in phrases if " " not in phrase}
    return [phrase for phrase in phrases if phrase in words and phrase[:-1] not in words
            and _is_known(phrase, tokenizer)]  # fmt: skip


def _is_known(word: str, tokenizer: Tokenizer) -> bool:
    try:
        return not tokenizer.check_query(word)
    except QueryError:
        return False


def _check(line: Line, place: Path, tokenizer: Tokenizer) -> str:
    """The text of a line. Raises QueryError, which names it."""
    try:
        check_line(line.meant, tokenizer)
    except QueryError as error:
        raise QueryError(f"{place}: line {line.number}: {error}") from None
    return line.meant


def _sample(lines: list[Line], random: np.random.Generator) -> list[Line]:
    return [lines[row] for row in _draw_rows(len(lines), random)]


def _draw_rows(count: int, random: np.random.Generator) -> np.ndarray:
    return np.sort(random.choice(count, min(count, MOST), replace=False))


def _read_some(captions: FeatureTable, random: np.random.Generator) -> Tensor:
    """(Q, D) rows of captions, drawn from all."""
    wanted, start, parts = _draw_rows(captions.count, random), 0, []
    for block in captions.blocks():
        parts.append(block[wanted[slice(*np.searchsorted(wanted, (start, start + len(block))))] - start])
        start += len(block)
    return torch.from_numpy(np.concatenate(parts))
