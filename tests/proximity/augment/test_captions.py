"""Shorter captions are clauses of the caption, in their order; changed ones still say nothing wrong."""

from __future__ import annotations

import math
import pickle
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.errors import DataError, RecipeError
from tbps_cli.proximity.augment.captions import CaptionAugmenter, split_clauses
from tbps_cli.proximity.augment.wording import Wording
from tbps_cli.proximity.lexicon import COLOUR_KINDS, GARMENT_KINDS, read_lexicon

CAPTION = "A woman in a red coat, with long hair, is walking along and carries a black handbag."


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


def test_clauses_end_at_punctuation_and_joining_words() -> None:
    assert split_clauses(CAPTION) == [
        "A woman in a red coat",
        "long hair",
        "is walking along",
        "carries a black handbag",
    ]
    assert split_clauses("sandals, a band WITH stripes") == ["sandals", "a band", "stripes"]


@given(st.text(max_size=200), st.floats(0, 1), st.integers(1, 5), st.integers(0, 999))
def test_what_is_left_are_words_of_the_caption_in_their_order(
    caption: str, shorten: float, clauses: int, seed: int
) -> None:
    left = CaptionAugmenter(shorten, clauses)(caption, Random(seed))
    assert is_subsequence(left.split(), split_words_of(caption)) or left == caption
    assert bool(left.strip()) == bool(caption.strip())


def split_words_of(caption: str) -> list[str]:
    return " ".join(split_clauses(caption)).split()


def test_nothing_asked_for_changes_nothing() -> None:
    assert CaptionAugmenter()(CAPTION, Random(0)) == CAPTION


def test_one_to_the_asked_number_of_clauses_are_kept() -> None:
    augment = CaptionAugmenter(shorten=1.0, clauses=2)
    kept = {augment(CAPTION, Random(seed)) for seed in range(300)}
    assert len(kept) == 4 + 6  # each one, and each two, of four clauses
    assert "A woman in a red coat carries a black handbag" in kept


def test_a_caption_of_few_clauses_stays_whole() -> None:
    assert CaptionAugmenter(shorten=1.0, clauses=1)("A man.", Random(0)) == "A man."


def test_chances_are_kept() -> None:
    augment = CaptionAugmenter(shorten=0.3)
    changed = sum(augment(CAPTION, Random(seed)) != CAPTION for seed in range(2000)) / 2000
    assert changed == pytest.approx(0.3, abs=0.04)


def test_the_same_generator_gives_the_same_words() -> None:
    augment = CaptionAugmenter(shorten=0.5)
    assert [augment(CAPTION, Random(3)) for _ in range(5)] == [augment(CAPTION, Random(3))] * 5


LONG = (
    "The young man has short black hair and glasses, and is wearing a light grey t-shirt under an open denim jacket, "
    "dark blue jeans and white sneakers with no socks. He is carrying a black backpack over his left shoulder "
    "while walking slowly along the street without an umbrella."
)
LEXICON = read_lexicon()
ACTIONS = ("synonym", "crop", "delete")


def only(action: str, **keywords: object) -> CaptionAugmenter:
    """An augmenter that always does one thing."""
    others = {other: 0.0 for other in ACTIONS if other != action}
    return CaptionAugmenter(chance=1.0, **others, **keywords)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=ACTIONS)
def augment(request: pytest.FixtureRequest) -> CaptionAugmenter:
    return only(request.param)


def words_of(caption: str) -> list[str]:
    return [word.lower() for word in Wording.split(caption).words]


def protected_words(caption: str) -> list[str]:
    """Words of colours and garments, in their order."""
    wording = Wording.split(caption)
    words = words_of(caption)
    spots = LEXICON.find(words, wording.gaps)
    kinds = COLOUR_KINDS | GARMENT_KINDS
    return [word for start, stop, term in spots if term.kind in kinds for word in words[start:stop]]


def test_colours_and_garments_stay(augment: CaptionAugmenter) -> None:
    kept = protected_words(LONG)
    assert " ".join(kept) == "black light grey t-shirt denim jacket dark blue jeans white sneakers socks black"
    for seed in range(200):
        assert protected_words(augment(LONG, Random(seed))) == kept


def test_what_tells_people_apart_is_never_deleted() -> None:
    for action in ("crop", "delete"):
        augment = only(action, share=1.0, most=99)
        assert " ".join(words_of(augment(LONG, Random(0)))) == (
            "young man black hair glasses light grey t-shirt denim jacket dark blue jeans white sneakers no socks "
            "black backpack shoulder without umbrella"
        )


def test_no_other_word_takes_the_colour_of_one_that_is_gone() -> None:
    augment = only("delete", share=1.0, most=99)
    assert augment("Her shoes are white and her pants are black.", Random(0)) == "Shoes white and pants black."
    assert augment("It is a red toolbox in a bag.", Random(0)) == "Red toolbox bag."


@pytest.mark.parametrize("action", ["crop", "delete"])
def test_nobody_becomes_what_they_wear(action: str) -> None:
    caption = "The man in black is wearing a coat and is carrying a small bag."
    for fewest in (1, 2, 3):
        augment = only(action, fewest=fewest, most=fewest)
        for seed in range(100):
            left = augment(caption, Random(seed)).lower()
            assert "is wearing" in left  # the word after a colour stays, and so what it leads to
            assert not re.search(r"\bis (?!wearing|carrying)", left)
            assert len(words_of(caption)) - len(words_of(left)) == fewest


def test_a_denial_is_never_turned_around() -> None:
    augment = only("delete", share=1.0, most=99)
    assert augment("She is not carrying a bag.", Random(0)) == "Not bag."
    assert augment("He isn't wearing a hat.", Random(0)) == "Isn't hat."


@pytest.mark.parametrize("protect", [True, False])
@pytest.mark.parametrize("action", ["crop", "delete"])
def test_a_fifth_of_the_words_is_deleted_within_the_bounds(action: str, protect: bool) -> None:
    augment = only(action, protect=protect)
    for count in (2, 3, 5, 6, 10, 11, 49, 60, 90):
        caption = " ".join(["somewhere"] * count)
        left = augment(caption, Random(count))
        assert count - len(words_of(left)) == min(max(math.ceil(0.2 * count), 1), 10)


def test_fewest_and_most_bound_what_is_touched() -> None:
    caption = " ".join(["somewhere"] * 20)
    assert len(words_of(only("delete", fewest=7)(caption, Random(0)))) == 13
    assert len(words_of(only("delete", most=2)(caption, Random(0)))) == 18


@pytest.mark.parametrize("protect", [True, False])
def test_a_crop_deletes_words_in_a_row(protect: bool) -> None:
    caption = "zero one two three four five six seven eight nine"
    starts, augment = set(), only("crop", protect=protect)
    for seed in range(100):
        left = words_of(augment(caption, Random(seed)))
        gone = [row for row, word in enumerate(caption.split()) if word not in left]
        assert gone == [gone[0], gone[0] + 1]
        starts.add(gone[0])
    assert starts == set(range(9))


def test_deleted_words_need_not_be_in_a_row() -> None:
    caption = "zero one two three four five six seven eight nine"
    augment = only("delete")
    left = {augment(caption, Random(seed)) for seed in range(1000)}
    assert len(left) == 10 * 9 / 2


def test_without_protection_any_word_may_go() -> None:
    augment = only("delete", protect=False)
    gone: set[str] = set()
    for seed in range(300):
        gone |= set(words_of(LONG)) - set(words_of(augment(LONG, Random(seed))))
    assert {"grey", "t-shirt", "without", "man", "the"} <= gone


def test_synonyms_touch_a_fifth_of_the_words_at_most() -> None:
    caption = "A man and a woman and a boy and a child and a lady and a gentleman."  # 17 words, 6 of them replaceable
    augment = only("synonym")
    for seed in range(50):
        pairs = zip(words_of(augment(caption, Random(seed))), words_of(caption), strict=True)
        assert sum(new != old and new not in ("a", "an") for new, old in pairs) == 4


def test_synonyms_of_every_kind_occur() -> None:
    augment = only("synonym", share=1.0, most=99)
    seen = {augment("A guy wearing a coat.", Random(seed)) for seed in range(100)}
    persons, verbs = ("man", "gentleman", "male"), ("dressed in", "clad in", "sporting")
    assert seen == {f"A {person} {verb} a coat." for person in persons for verb in verbs}


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=120), st.integers(0, 999))
def test_any_text_stays_text(caption: str, seed: int) -> None:
    for augment in WILD:
        changed = augment(caption, Random(seed))
        assert bool(words_of(changed)) == bool(words_of(caption))
        assert changed == caption or changed == " ".join(changed.split())


WILD = [only(action, protect=protect) for action in ACTIONS for protect in (True, False)]


@pytest.mark.parametrize("caption", ["", "...", "Woman", "  woman. ", "t-shirt"])
def test_a_caption_of_one_word_stays(caption: str) -> None:
    for augment in WILD[2:]:
        assert all(augment(caption, Random(seed)) == caption for seed in range(20))


def test_a_caption_without_synonyms_stays() -> None:
    assert only("synonym")("red jacket,  blue jeans", Random(0)) == "red jacket,  blue jeans"


def test_the_chance_and_the_weights_are_kept() -> None:
    augment = CaptionAugmenter(chance=0.5, synonym=1.0, crop=0.0, delete=3.0)
    changed = [augment("man, somewhere", Random(seed)) for seed in range(4000)]
    assert sum(caption != "man, somewhere" for caption in changed) / 4000 == pytest.approx(0.5, abs=0.03)
    assert sum(caption == "man" for caption in changed) / 4000 == pytest.approx(0.375, abs=0.03)


def test_a_shortened_caption_may_change_besides() -> None:
    augment = CaptionAugmenter(shorten=1.0, clauses=1, chance=1.0, crop=0.0, delete=0.0)
    seen = {augment("A man, a woman.", Random(seed)) for seed in range(50)}
    assert seen == {"A guy", "A gentleman", "A male", "a lady", "a female"}


def test_an_augmenter_travels_to_a_worker() -> None:
    augment = CaptionAugmenter(chance=1.0)
    copy = pickle.loads(pickle.dumps(augment))
    assert [copy(LONG, Random(seed)) for seed in range(30)] == [augment(LONG, Random(seed)) for seed in range(30)]


def test_ones_own_lexicon_is_used(tmp_path: Path) -> None:
    for name, text in [("synonyms", "noun: man, chap"), ("colours", ""), ("garments", ""), ("kept", "person: man")]:
        (tmp_path / f"{name}.txt").write_text(text, "utf-8")
    assert only("synonym", lexicon=str(tmp_path))("A man.", Random(0)) == "A chap."
    with pytest.raises(DataError, match="no such file"):
        CaptionAugmenter(chance=0.5, lexicon=tmp_path / "absent")


def test_weights_and_bounds_that_leave_nothing_to_do_are_refused() -> None:
    with pytest.raises(RecipeError, match="synonym, crop and delete all weigh nothing"):
        CaptionAugmenter(chance=0.5, synonym=0.0, crop=0.0, delete=0.0)
    with pytest.raises(RecipeError, match="at least 5 and at most 2 words"):
        CaptionAugmenter(chance=0.5, fewest=5, most=2)
