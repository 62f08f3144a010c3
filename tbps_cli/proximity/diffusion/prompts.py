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

from tbps_cli.proximity.captions.edits import GarmentPhrase, find_garments
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.plan.colours import PlannedEdit

KIND_ORDER = ("head", "whole", "upper", "lower", "feet", "bag", "worn")
LONGEST_GAP = 40  # characters between a colour and its garment; beyond is no phrase
Wording = Literal["kinds", "garments", "caption"]


@dataclass(frozen=True)
class EditPrompts:
    """Two prompts that differ in one colour; spans are characters.

    further: later places that say the colour again, in the source and in the target.
    """

    source: str
    target: str
    source_colour: tuple[int, int]
    target_colour: tuple[int, int]
    source_stop: int  # where the garment's phrase ends, which begins with its colour
    target_stop: int
    further: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()


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
        (old, new), *further = first.places
        rest = first.caption[old[1] : further[0][0][0] if further else None]
        garment = re.search(rf"\b{re.escape(first.garment)}\b", rest.lower()[: LONGEST_GAP + len(first.garment)])
        reach = garment.end() if garment else 0
        return EditPrompts(first.caption, first.edited, old, new, old[1] + reach, new[1] + reach, tuple(further))
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
        for told, phrases, colour, stop in (
            (prompt.source, source_phrase, prompt.source_colour, prompt.source_stop),
            (prompt.target, target_phrase, prompt.target_colour, prompt.target_stop),
        ):
            phrases[row, slice(*_tokens(told, (colour[0], stop), tokenizer))] = 1
        here = there = 0  # tokens of the source and of the target that are told already
        for old, new in ((prompt.source_colour, prompt.target_colour), *prompt.further):
            start, stop = _tokens(prompt.source, old, tokenizer)
            first, last = _tokens(prompt.target, new, tokenizer)
            for step in range(first - there):  # as many in both, unless "a" and "an" differ
                mapper[row, min(here + step, start - 1), there + step] = 1
            source_phrase[row, start:stop] = 1
            target_phrase[row, first:last] = 1
            target_colour[row, first:last] = 1
            mapper[row, start:stop, first:last] = 1 / (last - first)  # together as much as before
            here, there = stop, last
        for place in range(there, context):
            mapper[row, min(place - there + here, context - 1), place] = 1
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


def _tokens(text: str, span: tuple[int, int], tokenizer: Any) -> tuple[int, int]:
    """The tokens of some characters of a text, behind the one that begins it."""
    start = 1 + _count(text[: span[0]], tokenizer)
    return start, start + _count(text[slice(*span)], tokenizer)


def _cut(prompt: EditPrompts, tokenizer: Any, room: int) -> EditPrompts:
    """Words go from the end, then from the beginning, until both prompts fit; what says the colour again goes."""
    longer = max(_count(prompt.source, tokenizer), _count(prompt.target, tokenizer))
    if longer <= room:
        return prompt
    ending = prompt.source[prompt.source_stop : prompt.further[0][0][0] if prompt.further else None]
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
