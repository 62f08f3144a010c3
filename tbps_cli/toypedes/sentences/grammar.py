"""English in small: articles, lists, verbs that agree, spelling.

Lives here: what is true of any words. It refuses to know what the words mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

SPELLINGS = (("grey", "gray"), ("blonde", "blond"))
IRREGULAR_PLURALS = {"is": "are", "has": "have", "carries": "carry"}


def with_article(words: str) -> str:
    """Put "a" or "an" before words; our vowels all sound as they are written."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def join_list(things: Sequence[str]) -> str:
    """Join into "a", "a and b" or "a, b and c"."""
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def with_plural_verb(clause: str) -> str:
    """Make the verb at the head of a predicate agree with "they"."""
    verb, _, rest = clause.partition(" ")
    return f"{IRREGULAR_PLURALS.get(verb, verb.removesuffix('s'))} {rest}"


def share_verb(clauses: list[str]) -> list[str]:
    """Say "is" once in "is wearing a cap and is carrying a bag".

    Not in "is carrying a bag and is seen from behind", where it means two things.
    """
    verb = clauses[0].split()[0]
    shared = all(clause.startswith(f"{verb} ") and " seen " not in clause for clause in clauses)
    if verb in ("is", "are") and shared:
        return [clauses[0], *(clause.removeprefix(f"{verb} ") for clause in clauses[1:])]
    return clauses


def sentence(clause: str) -> str:
    """Make a clause begin with a capital and end with a full stop."""
    return f"{clause[0].upper()}{clause[1:]}."


def spell(text: str, rng: Random) -> str:
    """Choose between grey and gray, blonde and blond: one writer keeps to one spelling."""
    for usual, other in SPELLINGS:
        if rng.random() < 0.4:
            text = text.replace(usual, other)
    return text
