"""What the diffusion model is told: an image's garments and their colours, before and after the edit.

Knows words and their tokens; refuses to know what is done with their attention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from tbps_cli.proximity.edits import GarmentPhrase, find_garments
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.plan import PlannedEdit

KIND_ORDER = ("head", "whole", "upper", "lower", "feet", "bag", "worn")
LONGEST_GAP = 40  # characters between a colour and its garment; beyond is no phrase
Wording = Literal["kinds", "garments", "caption"]


@dataclass(frozen=True)
class EditPrompts:
    """Two prompts that differ in one colour; spans are characters."""

    source: str
    target: str
    source_colour: tuple[int, int]
    target_colour: tuple[int, int]
    source_stop: int  # where the garment's phrase ends, which begins with its colour
    target_stop: int


@dataclass(frozen=True)
class WordRows:
    """Which tokens of some edits' prompts are what; L tokens in a prompt."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    source_phrase: Tensor  # (B, L), 1 for tokens of the garment and its colour
    target_phrase: Tensor  # (B, L)
    target_colour: Tensor  # (B, L), 1 for tokens of the new colour alone
    mapper: Tensor  # (B, L, L): mapper[b, i, j] is what target token j takes of source token i's attention


def describe_image(captions: Sequence[str], wording: Wording, lexicon: Lexicon) -> str:
    """What is told of an image that its captions describe.

    `kinds`      "red upper, blue lower, white feet": the first that captions say of each kind, in the lexicon's words
    `garments`   "red coat, blue jeans, white shoes": the same in the captions' words
    `caption`    the first caption

    Empty where they say nothing.
    """
    if wording == "caption":
        return captions[0] if captions else ""
    return ", ".join(f"{colour} {noun}" for colour, noun in _list_garments(captions, wording, lexicon).values())


def write_prompts(edit: PlannedEdit, wording: Wording, lexicon: Lexicon) -> EditPrompts:
    """The prompts of an edit, of the same wording as `describe_image`, before and after."""
    if wording == "caption":
        first = edit.captions[0]
        stop = first.start + len(first.target)
        rest = first.caption[first.stop :]
        garment = re.search(rf"\b{re.escape(first.garment)}\b", rest.lower()[: LONGEST_GAP + len(first.garment)])
        reach = garment.end() if garment else 0
        target = first.caption[: first.start] + first.target + rest
        return EditPrompts(
            first.caption, target, (first.start, first.stop), (first.start, stop), first.stop + reach, stop + reach
        )
    captions = [*(caption.caption for caption in edit.captions), *edit.left_out]
    noun = edit.kind if wording == "kinds" else edit.garment
    garments = _list_garments(captions, wording, lexicon) | {edit.kind: (edit.old_colour, noun)}
    texts, spans = {}, {}
    for name, colour in (("source", edit.old_colour), ("target", edit.new_colour)):
        phrases = {kind: " ".join(garments[kind]) for kind in KIND_ORDER if kind in garments}
        phrases[edit.kind] = f"{colour} {noun}"
        start = sum(len(phrase) + 2 for kind, phrase in phrases.items() if _precedes(kind, edit.kind))
        texts[name] = ", ".join(phrases.values())
        spans[name] = (start, start + len(colour))
    length = len(noun) + 1
    return EditPrompts(
        texts["source"],
        texts["target"],
        spans["source"],
        spans["target"],
        spans["source"][1] + length,
        spans["target"][1] + length,
    )


def align_words(prompts: Sequence[EditPrompts], tokenizer: Any, context: int) -> WordRows:
    """Find the tokens of each prompt's words; prompts beyond the context are cut so that the edited phrase survives."""
    cut = [_cut(prompt, tokenizer, context - 2) for prompt in prompts]
    count = len(cut)
    source_phrase, target_phrase, target_colour = (torch.zeros(count, context) for _ in range(3))
    mapper = torch.zeros(count, context, context)
    for row, prompt in enumerate(cut):
        start = 1 + _count(prompt.source[: prompt.source_colour[0]], tokenizer)
        old = _count(prompt.source[slice(*prompt.source_colour)], tokenizer)
        new = _count(prompt.target[slice(*prompt.target_colour)], tokenizer)
        noun = _count(prompt.source[prompt.source_colour[1] : prompt.source_stop], tokenizer)
        source_phrase[row, start : start + old + noun] = 1
        target_phrase[row, start : start + new + noun] = 1
        target_colour[row, start : start + new] = 1
        for place in range(start):
            mapper[row, place, place] = 1
        mapper[row, start : start + old, start : start + new] = 1 / new  # together as much as before
        for place in range(start + new, context):
            mapper[row, min(place - new + old, context - 1), place] = 1
    return WordRows(
        tuple(prompt.source for prompt in cut),
        tuple(prompt.target for prompt in cut),
        source_phrase,
        target_phrase,
        target_colour,
        mapper,
    )


def _list_garments(captions: Iterable[str], wording: Wording, lexicon: Lexicon) -> dict[str, tuple[str, str]]:
    """Kind -> basic colour and noun, in the order of KIND_ORDER."""
    found: dict[str, GarmentPhrase] = {}
    for caption in captions:
        for phrase in find_garments(caption, lexicon):
            found.setdefault(phrase.kind, phrase)
    return {
        kind: (found[kind].colour, kind if wording == "kinds" else found[kind].garment)
        for kind in KIND_ORDER
        if kind in found
    }


def _precedes(kind: str, other: str) -> bool:
    return KIND_ORDER.index(kind) < KIND_ORDER.index(other)


def _count(text: str, tokenizer: Any) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False).input_ids) if text.strip() else 0


def _cut(prompt: EditPrompts, tokenizer: Any, room: int) -> EditPrompts:
    """Words go from the end, then from the beginning, until both prompts fit."""
    longer = max(_count(prompt.source, tokenizer), _count(prompt.target, tokenizer))
    if longer <= room:
        return prompt
    ending = prompt.source[prompt.source_stop :]
    words = ending.split()
    head_source, head_target = prompt.source[: prompt.source_stop], prompt.target[: prompt.target_stop]
    used = max(_count(head_source, tokenizer), _count(head_target, tokenizer))
    kept = ""
    for word in words:
        used += _count(word, tokenizer)
        if used > room:
            break
        kept += " " + word
    dropped, colour = 0, prompt.source_colour[0]
    while (
        max(_count(head_source[dropped:], tokenizer), _count(head_target[dropped:], tokenizer)) > room
        and dropped < colour
    ):
        space = re.compile(r"\s+").search(head_source, dropped, colour)
        dropped = space.end() if space else colour
    return EditPrompts(
        head_source[dropped:] + kept,
        head_target[dropped:] + kept,
        (prompt.source_colour[0] - dropped, prompt.source_colour[1] - dropped),
        (prompt.target_colour[0] - dropped, prompt.target_colour[1] - dropped),
        prompt.source_stop - dropped,
        prompt.target_stop - dropped,
    )
