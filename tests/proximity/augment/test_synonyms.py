"""What may be replaced in captions such as people write them, and what must be left alone."""

from __future__ import annotations

import pytest

from tbps_cli.proximity.augment.synonyms import find_replaceable
from tbps_cli.proximity.augment.wording import Wording
from tbps_cli.proximity.lexicon import COLOUR_KINDS, GARMENT_KINDS, read_lexicon

LEXICON = read_lexicon()
PROTECTED = COLOUR_KINDS | GARMENT_KINDS

MAN = "man|guy|gentleman|male"
WOMAN = "woman|lady|female"
DRESS = "wearing|dressed in|clad in|sporting"  # with clothes as the object
SPORT = "wearing|sporting"  # with anything that is worn
WEARS = "wears|is dressed in|is clad in|has on|is wearing"
WEARS_ANYTHING = "wears|has on|is wearing"
BACKPACK = "backpack|rucksack|knapsack|back pack"
PURSE = "handbag|purse|hand bag"
GLASSES = "glasses|eyeglasses|spectacles|eye glasses"
PHONE = "phone|cell phone|mobile phone|cellphone"

# Each caption with all that may be replaced in it, and by what.
CAPTIONS: list[tuple[str, dict[str, str]]] = [
    ("The man wears a grey coat.", {"man": MAN, "wears": WEARS}),
    ("A woman wearing white sneakers.", {"woman": WOMAN, "wearing": SPORT}),
    ("He is wearing a black cap and glasses.", {"He is": "he's", "wearing": SPORT, "glasses": GLASSES}),
    ("She wears her hair in a ponytail.", {"ponytail": "pony tail"}),
    ("A lady with a backpack on her back.", {"lady": WOMAN, "backpack": BACKPACK}),
    ("A man in light blue jeans, a light jacket and a light.", {"man": MAN}),
    ("The dark haired woman has dark eyes and a dark top.", {"woman": WOMAN}),
    ("The woman in the orange top eats an orange.", {"woman": WOMAN}),
    ("A red cap is on top of his head.", {"on top of": "atop"}),
    ("He turns left at the back of the car.", {"car": "automobile"}),
    ("The watch on her left wrist is gold.", {}),
    ("They watch the man on the right.", {"man": MAN}),
    ("He left right after them with his back turned.", {}),
    ("A person in running shoes is running along the street.", {"person": "individual", "street": "road"}),
    ("A man with a walking stick is walking slowly.", {"man": MAN, "walking stick": "cane", "walking": "strolling"}),
    ("The woman walks to the right.", {"woman": WOMAN, "walks": "strolls|is walking"}),
    ("The woman walks a dog.", {"woman": WOMAN}),
    ("He walks his bicycle across the road.", {"bicycle": "bike", "road": "street"}),
    ("A girl holding hands with her mother.", {"mother": "mom|mum"}),
    ("A girl holding an umbrella.", {"holding": "holding|carrying"}),
    ("A girl holding up an umbrella.", {}),
    ("A girl holding a phone to her ear.", {"phone": PHONE}),
    ("A boy with a phone case and a car key.", {"boy": "lad"}),
    ("She is carrying a shoulder bag.", {"She is": "she's", "carrying": "toting"}),
    ("She is carrying a purse.", {"She is": "she's", "carrying": "toting", "purse": PURSE}),
    ("She carries a plastic bag.", {"carries": "has|holds|is carrying", "plastic bag": "plastic sack"}),
    ("She carries her jacket over her arm.", {}),
    ("He carries himself upright.", {}),
    ("The strap of her backpack is red.", {"backpack": BACKPACK}),
    ("Her backpack strap is red.", {}),
    ("A slim man in slim jeans.", {"slim": "slender", "man": MAN}),
    ("A thin woman with thin hair.", {"thin": "slim|slender", "woman": WOMAN}),
    ("Loose pants and loose hair.", {"Loose": "loose-fitting|loosely fitting"}),
    ("Tight white pants; her jeans are tight.", {"Tight": "tight-fitting|close-fitting|form-fitting"}),
    ("An old man in an old coat.", {"old man": "elderly man|old gentleman|elderly gentleman"}),
    ("A 20 year old man.", {"man": MAN}),
    ("A woman about 30 years old.", {"woman": WOMAN, "years old": "years of age"}),
    ("A 30 years old woman.", {"woman": WOMAN}),
    ("A male pedestrian and a male.", {"pedestrian": "passer-by|passerby", "male": MAN}),
    ("The man's jacket zips up.", {}),
    ("The zipper of his jacket is open.", {"zipper": "zip"}),
    ("He has on no hat.", {"has on": "wears|is wearing"}),
    ("What he has on his back is a backpack.", {"backpack": BACKPACK}),
    ("She is not wearing a coat.", {"She is": "she's", "wearing": DRESS}),
    ("The woman is not wearing a coat.", {"woman": WOMAN, "is not": "isn't", "wearing": DRESS}),
    ("Dressed in all black.", {}),
    ("A man dressed in a navy suit.", {"man": MAN, "dressed in": "wearing|clad in"}),
    ("He is wearing a red tie and a black suit.", {"He is": "he's", "wearing": SPORT}),
    ("Wearing a long-sleeved polo shirt.", {"Wearing": DRESS, "long-sleeved": "long-sleeve"}),
    ("A plaid shirt in plaid.", {"plaid": "tartan"}),
    ("A lady's handbag.", {"handbag": PURSE}),
    ("The man sits down on the stairs.", {"man": MAN, "sits down": "is seated", "stairs": "steps"}),
    ("A woman is looking at the camera from behind.", {
        "woman": WOMAN, "looking at": "gazing at", "from behind": "from the back|from the rear"}),
    ("A large woman pushing a stroller.", {
        "large": "big", "woman": WOMAN, "pushing": "wheeling", "stroller": "baby carriage|pram|pushchair"}),
    ("A bag hanging from his shoulder, as long as his arm.", {"hanging from": "dangling from"}),
    ("The car park is behind a phone booth.", {"car park": "parking lot"}),
]  # fmt: skip


def find(caption: str, *, protect: bool = True) -> dict[str, list[str]]:
    wording = Wording.split(caption)
    words = [word.lower() for word in wording.words]
    found = find_replaceable(words, wording.gaps, LEXICON, PROTECTED if protect else ())
    return {" ".join(wording.words[start:stop]): alternatives for start, stop, alternatives in found}


@pytest.mark.parametrize(("caption", "allowed"), CAPTIONS, ids=[caption for caption, _ in CAPTIONS])
def test_what_may_be_replaced_and_by_what(caption: str, allowed: dict[str, str]) -> None:
    found = find(caption)
    assert set(found) == set(allowed)
    for phrase, alternatives in found.items():
        assert set(alternatives) <= set(allowed[phrase].split("|")) - {phrase.lower()}, phrase
        assert alternatives


def test_a_garment_or_colour_is_replaced_only_without_protection() -> None:
    caption = "A grey t-shirt, red pants and a shirt."
    assert find(caption) == {}
    assert find(caption, protect=False) == {
        "grey": ["gray"],
        "t-shirt": ["tee shirt", "tee", "tshirt"],
        "red": ["crimson", "scarlet"],
        "pants": ["trousers"],
    }


def test_no_phrase_reaches_across_a_mark() -> None:
    assert find("dressed in a coat") == {"dressed in": ["wearing", "clad in"]}
    assert find("dressed, in a coat") == {}
    assert "cell phone" in find("a cell phone")
    assert find("in her cell, phone off")["phone"] == ["cell phone", "mobile phone", "cellphone"]
