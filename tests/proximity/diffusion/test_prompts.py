"""Tokens of phrases are those of a slow search; what is too long loses everything but the phrase."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.proximity.captions.edits import edit_caption, find_garments
from tbps_cli.proximity.diffusion.prompts import (
    EditPrompts,
    align_words,
    describe_image,
    write_prompts,
)
from tbps_cli.proximity.lexicon import read_lexicon
from tbps_cli.proximity.plan.colours import PlannedEdit
from tests.doubles.tiny_pipelines import CONTEXT, build_tokenizer

LEXICON = read_lexicon()


def plan_edit(caption: str, kind: str = "upper", colour: str = "green", left_out: tuple[str, ...] = ()) -> PlannedEdit:
    phrase = next(phrase for phrase in find_garments(caption, LEXICON) if phrase.kind == kind)
    edit = edit_caption(caption, phrase, colour)
    return PlannedEdit(0, "a.jpg", 1, 2, kind, phrase.garment, phrase.colour, colour, (edit,), left_out, 3)


def write(before: str, old: str, new: str, noun: str, after: str) -> EditPrompts:
    start = len(before)
    return EditPrompts(
        before + old + noun + after,
        before + new + noun + after,
        (start, start + len(old)),
        (start, start + len(new)),
        start + len(old + noun),
        start + len(new + noun),
    )


def tokens_of(text: str) -> list[int]:
    return list(build_tokenizer()(text).input_ids)


def places(tokens: list[int], words: str) -> list[int]:
    """Where the tokens of some words begin: a slow search."""
    wanted = tokens_of(words)[1:-1]
    return [start for start in range(len(tokens)) if tokens[start : start + len(wanted)] == wanted]


@pytest.mark.parametrize("old", ["red", "navy", "dark blue"])
@pytest.mark.parametrize("new", ["green", "khaki", "light grey"])
@pytest.mark.parametrize("before", ["", "woman, ", "a tall man wearing "])
def test_tokens_of_colour_and_phrase_are_found(before: str, old: str, new: str) -> None:
    prompt = write(before, old, new, " coat", ", shoes")
    words = align_words([prompt], build_tokenizer(), CONTEXT)
    source, target = tokens_of(prompt.source), tokens_of(prompt.target)
    assert max(len(source), len(target)) <= CONTEXT
    for told, phrase, rows in (
        (source, f"{old} coat", words.source_phrase),
        (target, f"{new} coat", words.target_phrase),
        (target, new, words.target_colour),
    ):
        (start,) = places(told, phrase)
        length = len(tokens_of(phrase)) - 2
        assert rows[0].nonzero().flatten().tolist() == list(range(start, start + length))
    # Every token of the target that is not of the colour has its like in the source, and looks where that looks.
    colour = set(words.target_colour[0].nonzero().flatten().tolist())
    of_source = [place for place in range(len(source)) if not words.source_phrase[0, place]] + [
        place for place in range(len(source)) if words.source_phrase[0, place]
    ][len(tokens_of(old)) - 2 :]
    of_target = [place for place in range(len(target)) if place not in colour]
    for there, here in zip(sorted(of_source), of_target, strict=True):
        assert source[there] == target[here]
        assert words.mapper[0, :, here].tolist() == [float(row == there) for row in range(CONTEXT)]


def test_basic_colours_have_equally_many_tokens_so_that_nothing_moves() -> None:
    for old in ("red", "grey", "black"):
        for new in ("orange", "purple", "white"):
            prompt = write("woman, ", old, new, " coat", ", black shoes")
            words = align_words([prompt], build_tokenizer(), CONTEXT)
            assert words.target_colour.sum() == 1
            assert torch.equal(words.mapper[0], torch.eye(CONTEXT))


WORD = st.text("abcdé,.'-红0", min_size=1, max_size=30)
GAP = st.sampled_from([" ", "  ", "\t", "\n", "\u3000"])


@settings(max_examples=60, deadline=None)
@given(
    before=st.lists(st.tuples(WORD, GAP), max_size=12).map(lambda parts: "".join(map("".join, parts))),
    after=st.lists(st.tuples(GAP, WORD), max_size=12).map(lambda parts: "".join(map("".join, parts))),
    old=st.sampled_from(["red", "dark blue"]),
    new=st.sampled_from(["green", "khaki"]),
)
def test_a_prompt_of_any_length_is_cut_so_that_the_phrase_survives(before: str, after: str, old: str, new: str) -> None:
    prompt = write(before, old, new, " coat", after)
    words = align_words([prompt], build_tokenizer(), CONTEXT)
    ids = build_tokenizer()([*words.source, *words.target], truncation=True, max_length=CONTEXT).input_ids
    assert f"{old} coat" in words.source[0]
    assert f"{new} coat" in words.target[0]
    rows = (words.source_phrase, words.target_phrase)
    for told, phrase, row in zip(ids, (f"{old} coat", f"{new} coat"), rows, strict=True):
        (place,) = [place for place in places(told, phrase) if row[0, place]]
        assert int(row[0].nonzero()[0]) == place
        assert int(row.sum()) == len(tokens_of(phrase)) - 2


def test_a_short_prompt_stays_as_it_is() -> None:
    prompt = write("a  woman ,in ", "red", "green", " coat", " ,  and shoes")
    words = align_words([prompt], build_tokenizer(), CONTEXT)
    assert (words.source[0], words.target[0]) == (prompt.source, prompt.target)


def test_both_prompts_are_cut_alike_though_one_alone_is_too_long() -> None:
    filler = " coat" * (CONTEXT - 4)
    prompt = write("", "red", "khaki", " coat", filler)
    words = align_words([prompt], build_tokenizer(), CONTEXT)
    assert words.source[0].removeprefix("red") == words.target[0].removeprefix("khaki") != " coat" + filler


def test_garments_are_listed_from_head_to_foot_in_basic_colours() -> None:
    captions = ["A man in navy jeans and a crimson shirt.", "He has white shoes and a blue shirt."]
    assert describe_image(captions, "garments", LEXICON) == "red shirt, blue jeans, white shoes"
    assert describe_image(captions, "kinds", LEXICON) == "red upper, blue lower, white feet"
    assert describe_image(captions, "caption", LEXICON) == captions[0]
    assert describe_image(["Somebody walks."], "kinds", LEXICON) == ""
    assert describe_image([], "caption", LEXICON) == ""


def test_prompts_of_garments_differ_in_the_one_colour() -> None:
    edit = plan_edit("A woman in navy jeans and a crimson shirt.", left_out=("She wears white shoes.",))
    prompts = write_prompts(edit, "garments", LEXICON)
    assert prompts.source == "red shirt, blue jeans, white shoes"
    assert prompts.target == "green shirt, blue jeans, white shoes"
    assert prompts.source[slice(*prompts.source_colour)] == "red"
    assert prompts.target[slice(*prompts.target_colour)] == "green"
    assert prompts.source[prompts.source_colour[0] : prompts.source_stop] == "red shirt"
    assert prompts.target[prompts.target_colour[0] : prompts.target_stop] == "green shirt"


def test_a_garment_behind_others_is_found_in_its_place() -> None:
    edit = plan_edit("A woman in a crimson shirt and navy jeans.", kind="lower", colour="yellow")
    prompts = write_prompts(edit, "garments", LEXICON)
    assert prompts.target == "red shirt, yellow jeans"
    assert prompts.source[slice(*prompts.source_colour)] == "blue"
    assert prompts.target[prompts.target_colour[0] : prompts.target_stop] == "yellow jeans"


def test_the_wording_of_a_caption_stays_but_for_the_colour() -> None:
    edit = plan_edit("The woman wears a dark blue long coat. She walks.", kind="upper")
    prompts = write_prompts(edit, "caption", LEXICON)
    assert prompts.source == edit.captions[0].caption
    assert prompts.target == "The woman wears a green long coat. She walks."
    assert prompts.source[slice(*prompts.source_colour)] == "dark blue"
    assert prompts.source[prompts.source_colour[0] : prompts.source_stop] == "dark blue long coat"
    assert prompts.target[prompts.target_colour[0] : prompts.target_stop] == "green long coat"


def test_the_garment_of_a_caption_is_a_word_and_no_part_of_one() -> None:
    """The colour comes after the garment, and another word behind it holds the garment's letters."""
    edit = plan_edit("His shirt is red, under stopped sunshirts.", colour="green")
    prompts = write_prompts(edit, "caption", LEXICON)
    assert prompts.source[prompts.source_colour[0] : prompts.source_stop] == "red"


TWICE = "A woman in a navy coat. She also carries an umbrella, and the dark blue coat is long."


def plan_twice(caption: str, colour: str) -> PlannedEdit:
    first, second = [phrase for phrase in find_garments(caption, LEXICON) if phrase.kind == "upper"]
    edit = edit_caption(caption, first, colour, [second])
    return PlannedEdit(0, "a.jpg", 1, 2, "upper", "coat", "blue", colour, (edit,), (), 3)


def test_a_caption_that_says_the_colour_twice_says_the_new_one_twice() -> None:
    prompts = write_prompts(plan_twice(TWICE, "orange"), "caption", LEXICON)
    assert prompts.target == "A woman in an orange coat. She also carries an umbrella, and the orange coat is long."
    assert prompts.target[prompts.target_colour[0] : prompts.target_stop] == "orange coat"
    ((old, new),) = prompts.further
    assert (prompts.source[slice(*old)], prompts.target[slice(*new)]) == ("dark blue", "orange")
    words = align_words([prompts], build_tokenizer(), 80)
    source, target = tokens_of(prompts.source), tokens_of(prompts.target)
    length = len(tokens_of("orange")) - 2
    said = [start + step for start in places(target, "orange") for step in range(length)]
    assert len(said) == 2 * length
    assert words.target_colour[0].nonzero().flatten().tolist() == said
    taken = words.mapper[0].sum(dim=0)[said].reshape(2, length).sum(dim=1)  # attention of every old token, once
    assert taken.tolist() == pytest.approx([len(tokens_of(old)) - 2 for old in ("navy", "dark blue")])
    for here in range(len(target)):
        if here in said:
            continue
        (there,) = words.mapper[0, :, here].nonzero().flatten().tolist()
        assert source[there] == target[here] or {source[there], target[here]} <= {*tokens_of("a an")}


def test_where_it_is_too_long_the_second_mention_goes_rather_than_saying_the_old_colour() -> None:
    caption = TWICE.replace("also", "also " + "often " * CONTEXT)
    words = align_words([write_prompts(plan_twice(caption, "green"), "caption", LEXICON)], build_tokenizer(), CONTEXT)
    assert "green coat" in words.target[0]
    assert "blue" not in words.target[0]
    assert words.target_colour[0].sum() == len(tokens_of("green")) - 2
