"""Searches: honest about what they ask for, and typed the way people type."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest

from tbps_cli.toypedes.person import sample_person
from tbps_cli.toypedes.sentences.queries import sample_queries, satisfies, share_satisfied, write_query

PEOPLE = [sample_person(Random(f"queries/{number}")) for number in range(300)]


@pytest.mark.parametrize("attributes", [2, 3, 4])
def test_a_query_states_as_many_attributes_as_asked(attributes):
    for number, person in enumerate(PEOPLE):
        query = write_query(person, Random(number), attributes)
        assert len(query.stated) == attributes, query


@pytest.mark.parametrize("attributes", [1, 5])
def test_other_numbers_of_attributes_are_refused(attributes):
    with pytest.raises(ValueError, match="2 to 4"):
        write_query(PEOPLE[0], Random(0), attributes)


def test_a_query_is_true_of_the_person_it_was_written_for():
    for number, person in enumerate(PEOPLE):
        query = write_query(person, Random(number), 4)
        assert share_satisfied(person, query.stated) == 1.0


def test_every_stated_value_stands_in_the_query():
    words_of = {
        "male": "man|guy|gentleman|male",
        "female": "woman|lady|girl|female",
        "grey": "gr[ea]y",
        "any": "bag|hat",
    }
    words_of |= {
        "t-shirt": "t-shirt|tee",
        "sweater": "sweater|pullover|jumper",
        "hoodie": "hoodie|hooded sweatshirt",
    }
    words_of |= {
        "trousers": "trousers|slacks",
        "shorts": "shorts|short pants",
        "backpack": "backpack|rucksack",
    }
    words_of |= {
        "handbag": "handbag|purse",
        "beanie": "beanie|knit hat|woolly hat",
        "striped": "striped|stripy",
    }
    words_of |= {
        "checked": "checked|plaid|checkered",
        "logo": "logo|print",
        "red": "red|ginger",
        "blonde": "blonde?",
    }
    words_of |= {"glasses": "glasses|eyeglasses|spectacles", "none": "no bag", "coat": "coat|overcoat"}
    for query in sample_queries(PEOPLE, 1000, seed=5):
        for value in query.stated.values():
            assert re.search(rf"\b({words_of.get(value, re.escape(value))})\b", query.text), query


def test_queries_read_like_searches():
    for query in sample_queries(PEOPLE, 1000, seed=1):
        assert query.text == query.text.lower().strip()
        assert 2 <= len(query.text.split()) <= 17, query.text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  |\.|left|right", query.text), query.text
        assert not re.search(r"\ba \w+ (shoes|trousers|jeans|shorts|glasses|pants|hair|footwear)", query.text), (
            query.text
        )
        assert query.text.count(" with ") <= 2, query.text


def test_a_colour_for_everything_needs_it_above_and_below():
    for person in (replace(one, upper_colour="black") for one in PEOPLE if one.lower != "none"):
        for seed in range(10):
            query = write_query(person, Random(seed), 3)
            if re.search(r" (in|wearing) black(,| with|$)", query.text):
                assert person.lower_colour == "black"
                assert query.stated["upper_colour"] == query.stated["lower_colour"] == "black"


def test_any_means_that_there_is_one():
    carrier = replace(PEOPLE[0], bag="handbag", bag_colour="red")
    assert satisfies(carrier, "bag", "any")
    assert satisfies(carrier, "bag", "handbag")
    assert not satisfies(carrier, "bag", "backpack")
    assert not satisfies(carrier, "bag", "none")
    assert not satisfies(replace(carrier, bag="none"), "bag", "any")


def test_the_share_counts_stated_attributes():
    person = replace(PEOPLE[0], gender="female", upper="coat", upper_colour="red", hat="none")
    stated = {"gender": "female", "upper": "coat", "upper_colour": "blue", "hat": "any"}
    assert share_satisfied(person, stated) == 0.5
    assert share_satisfied(person, {}) == 1.0


def test_an_unknown_attribute_is_an_error():
    with pytest.raises(AttributeError):
        satisfies(PEOPLE[0], "facing", "front")


def test_the_same_seed_samples_the_same_queries():
    assert sample_queries(PEOPLE, 20, seed=3) == sample_queries(PEOPLE, 20, seed=3)
    assert sample_queries(PEOPLE, 20, seed=3) != sample_queries(PEOPLE, 20, seed=4)
    assert sample_queries(PEOPLE, 20, seed=3)[:10] == sample_queries(PEOPLE, 10, seed=3)
