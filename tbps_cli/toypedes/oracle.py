"""The best figures that any system could reach from what captions and searches say.

Lives here: which images fit what a text states, and how well. It refuses to know pixels:
an image is what it shows of its person. The ranking is the Bayes ranking for people who
share nothing but chance; attributes count as independent of each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tbps_cli.toypedes.person import ATTRIBUTES, Person
from tbps_cli.toypedes.sentences.captions import ANY, ToyCaption, facing_of
from tbps_cli.toypedes.sentences.queries import share_satisfied
from tbps_cli.toypedes.ties import expected_average_precision, expected_hit
from tbps_cli.toypedes.truth import ImageTruth
from tbps_cli.toypedes.view import is_visible

BLOCK = 256  # queries scored at once
# Scores are whole numbers of this unit, in nats: so sums are exact, and equal evidence ties.
UNIT = 1e-6
IMPOSSIBLE = -(2.0**40)  # far below every sum of possible scores, and exact in sums

Stated = tuple[str, str]  # attribute, value


@dataclass(frozen=True)
class OracleReport:
    """What the Bayes ranking reaches; fractions, each the exact mean over all orders of ties."""

    rank_1: float
    rank_5: float
    rank_10: float
    mean_ap: float
    queries: int
    gallery_images: int


def score_oracle(truths: Sequence[ImageTruth]) -> OracleReport:
    """Search with every caption of these images among these images.

    An image's score is the sum, over the stated attributes, of the logarithm of how much
    likelier what it shows is for the person described than for anybody: -log(share of the
    value) where it shows the value, minus infinity where it shows another, 0 where the view
    hides it. Shares are those among the people of the gallery, with Laplace's smoothing.

    Raises:
        ValueError: no images.
    """
    if not truths:
        raise ValueError("the oracle needs at least one image")
    relevant = _images_of_the_same_person(truths)
    captions = [(caption, row) for row, truth in enumerate(truths) for caption in truth.captions]
    columns = sorted({stated for caption, _ in captions for stated in caption.stated.items()})
    evidence = _evidence(truths, columns)  # (S, N), S: distinct stated values
    place = {stated: number for number, stated in enumerate(columns)}
    figures = np.zeros(4)
    for block in _blocks(captions):
        mentions = np.zeros((len(block), len(columns)))
        for number, (caption, _) in enumerate(block):
            mentions[number, [place[stated] for stated in caption.stated.items()]] = 1
        scores = mentions @ evidence  # (Q, N)
        scores[scores < IMPOSSIBLE / 2] = -np.inf
        own = relevant[[row for _, row in block]]  # (Q, R)
        hits = [expected_hit(scores, own, k).sum() for k in (1, 5, 10)]
        figures += [*hits, expected_average_precision(scores, own).sum()]
    rank_1, rank_5, rank_10, mean_ap = (figures / len(captions)).tolist()
    return OracleReport(rank_1, rank_5, rank_10, mean_ap, len(captions), len(truths))


def score_query_oracle(queries: Sequence[ToyCaption], truths: Sequence[ImageTruth], k: int = 5) -> float:
    """The best mean share of stated attributes that the people of the first k images can satisfy.

    Args:
        queries: searches; what they state is compared with people, whether images show it or not.
        truths: the gallery.
        k: how many images of each search count; fewer if there are not as many.

    Raises:
        ValueError: no searches, or no images.
    """
    images = Counter(truth.person for truth in truths)
    if not queries or not images:
        raise ValueError("the oracle needs at least one search and one image")
    return sum(_best_share(query, images, k) for query in queries) / len(queries)


def _best_share(query: ToyCaption, images: Counter[Person], k: int) -> float:
    """The mean share over the k images whose people satisfy the most."""
    by_share: Counter[float] = Counter()
    for person, count in images.items():
        by_share[share_satisfied(person, query.stated)] += count
    shares = [share for share in sorted(by_share, reverse=True) for _ in range(min(by_share[share], k))][:k]
    return sum(shares) / len(shares)


def _images_of_the_same_person(truths: Sequence[ImageTruth]) -> NDArray[np.intp]:
    """For each image the indices of all images of its person, filled up with -1; (N, R)."""
    images: dict[int, list[int]] = {}
    for row, truth in enumerate(truths):
        images.setdefault(truth.person_id, []).append(row)
    most = max(map(len, images.values()))
    relevant = np.full((len(truths), most), -1, dtype=np.intp)
    for rows in images.values():
        relevant[rows, : len(rows)] = rows
    return relevant


def _evidence(truths: Sequence[ImageTruth], columns: list[Stated]) -> NDArray[np.float64]:
    """What each image's score gains when a caption states each of the values; (S, N), in units."""
    people = {truth.person_id: truth.person for truth in truths}
    shares = {name: _shares(getattr(person, name) for person in people.values()) for name in ATTRIBUTES}
    shown = {name: [_shown(truth, name, frozenset(shares[name])) for truth in truths] for name in ATTRIBUTES}
    facings = [facing_of(truth.view) for truth in truths]
    images_per_person = len(truths) / len(people)
    evidence = np.empty((len(columns), len(truths)))
    for number, (name, value) in enumerate(columns):
        if name == "facing":
            match, mismatch = _facing_evidence(_shares(facings)[value], images_per_person)
            evidence[number] = [match if facing == value else mismatch for facing in facings]
        else:
            gains = {values: _gain(value, values, shares[name]) for values in set(shown[name])}
            evidence[number] = [gains[values] for values in shown[name]]
    return evidence


def _shares(values: Iterable[str]) -> dict[str, float]:
    """How common each value is, after Laplace: one more of each than were counted."""
    counts = Counter(values)
    total = sum(counts.values()) + len(counts)
    return {value: (count + 1) / total for value, count in counts.items()}


def _shown(truth: ImageTruth, name: str, values: frozenset[str]) -> frozenset[str]:
    """The values that an image leaves possible: its person's own, or those that it would hide alike.

    From behind, a plain coat could have a logo, but it is surely not striped.
    """
    person, view = truth.person, truth.view
    if is_visible(person, view, name):
        return frozenset((getattr(person, name),))
    return frozenset(
        value
        for value in values
        if not is_visible(replace(person, **{name: value}), view, name)  # type: ignore[arg-type]
    )


def _gain(value: str, shown: frozenset[str], shares: dict[str, float]) -> float:
    """The log of P(shown | stated) / P(shown), in units: -log(share) where exactly the value is shown."""
    meant = {other for other in shares if (other != "none" if value == ANY else other == value)}

    def share(values: Iterable[str]) -> float:
        return math.fsum(shares[other] for other in values)

    both = share(meant & shown)
    return _in_units(both / (share(shown) * share(meant)))


def _facing_evidence(share: float, images_per_person: float) -> tuple[float, float]:
    """The gain of an image that faces as stated, and of one that does not.

    The caption's own image surely faces so; the person's others do by chance.
    """
    own = 1 / images_per_person
    return _in_units((own + (1 - own) * share) / share), _in_units(1 - own)


def _in_units(ratio: float) -> float:
    return IMPOSSIBLE if ratio <= 0 else float(round(math.log(ratio) / UNIT))


def _blocks(captions: Iterable[tuple[ToyCaption, int]]) -> Iterator[list[tuple[ToyCaption, int]]]:
    remaining = iter(captions)
    while block := list(islice(remaining, BLOCK)):
        yield block
