"""The oracle beside a slow loop that follows the words of its docstring."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from tbps_cli.toypedes.oracle import score_oracle, score_query_oracle
from tbps_cli.toypedes.plan import ToySize, plan_dataset
from tbps_cli.toypedes.sentences.captions import ToyCaption
from tbps_cli.toypedes.sentences.queries import sample_queries, satisfies, share_satisfied
from tbps_cli.toypedes.truth import ImageTruth
from tbps_cli.toypedes.view import is_visible


def slow_score(stated: dict[str, str], truth: ImageTruth, truths: list[ImageTruth]) -> float:
    """One caption against one image, attribute by attribute."""
    people = list({one.person_id: one.person for one in truths}.values())
    score = 0.0
    for attribute, value in stated.items():
        if attribute == "facing":
            facings = [{"left": "side", "right": "side"}.get(one.view.facing, one.view.facing) for one in truths]
            share = (facings.count(value) + 1) / (len(facings) + len(set(facings)))
            own = len(people) / len(truths)
            facing = {"left": "side", "right": "side"}.get(truth.view.facing, truth.view.facing)
            score += math.log((own + (1 - own) * share) / share) if facing == value else math.log(1 - own)
            continue
        values = [getattr(person, attribute) for person in people]
        kinds = sorted(set(values))
        shares = {kind: (values.count(kind) + 1) / (len(values) + len(kinds)) for kind in kinds}
        meant = [kind for kind in kinds if satisfies(replace(truth.person, **{attribute: kind}), attribute, value)]
        if is_visible(truth.person, truth.view, attribute):
            possible = [getattr(truth.person, attribute)]
        elif attribute == "pattern":
            possible = [kind for kind in ("plain", "logo") if kind in kinds]
        else:
            continue
        both = sum(shares[kind] for kind in possible if kind in meant)
        if both == 0:
            return -math.inf
        score += math.log(both / sum(shares[kind] for kind in possible) / sum(shares[kind] for kind in meant))
    return score


def slow_rank_and_precision(scores: list[float], relevant: list[bool], shuffles: int) -> tuple[float, float]:
    """Rank-1 and average precision, the mean over random orders of ties."""
    generator = np.random.default_rng(0)
    hits = precision = 0.0
    for _ in range(shuffles):
        shuffled = generator.permutation(len(scores)).tolist()
        order = sorted(shuffled, key=lambda image: -round(scores[image], 4))  # stable: ties stay shuffled
        ranks = [rank for rank, image in enumerate(order, start=1) if relevant[image]]
        hits += ranks[0] == 1
        precision += sum((found + 1) / rank for found, rank in enumerate(ranks)) / len(ranks)
    return hits / shuffles, precision / shuffles


@pytest.mark.parametrize("seed", [0, 1])
def test_the_oracle_agrees_with_a_slow_loop(seed):
    truths = list(plan_dataset(ToySize(0, 0, 12, images_per_person=3), seed))
    # Leave little in the captions, so that ties and mistakes are common.
    rng = Random(seed)
    truths = [
        replace(
            truth,
            captions=tuple(ToyCaption("", dict(rng.sample(list(one.stated.items()), 2))) for one in truth.captions),
        )
        for truth in truths
    ]
    rank_1, precision = [], []
    for truth in truths:
        for caption in truth.captions:
            scores = [slow_score(caption.stated, other, truths) for other in truths]
            relevant = [other.person_id == truth.person_id for other in truths]
            hit, average = slow_rank_and_precision(scores, relevant, shuffles=100)
            rank_1.append(hit)
            precision.append(average)
    report = score_oracle(truths)
    assert report.rank_1 == pytest.approx(np.mean(rank_1), abs=0.015)
    assert report.mean_ap == pytest.approx(np.mean(precision), abs=0.01)
    assert report.rank_1 < 0.8
    assert (report.queries, report.gallery_images) == (72, 36)


def test_an_oracle_without_words_is_chance():
    truths = [replace(truth, captions=(ToyCaption("", {}),)) for truth in plan_dataset(ToySize(0, 0, 10, 2), 0)]
    report = score_oracle(truths)
    assert report.rank_1 == pytest.approx(2 / 20)
    assert report.rank_10 == pytest.approx(1 - (10 * 9) / (20 * 19))


def test_one_striking_attribute_finds_its_person():
    truths = [
        replace(truth, person=replace(truth.person, hat="none", hat_colour="none"), captions=())
        for truth in plan_dataset(ToySize(0, 0, 10, 2), 0)
    ]
    for row in (4, 5):
        truths[row] = replace(truths[row], person=replace(truths[row].person, hat="cap", hat_colour="red"))
    truths[4] = replace(truths[4], captions=(ToyCaption("a hat", {"hat": "any"}),))
    report = score_oracle(truths)
    assert (report.rank_1, report.mean_ap, report.queries) == (1.0, 1.0, 1)


def test_from_behind_a_plain_coat_is_not_striped_but_may_have_a_logo():
    truths = list(plan_dataset(ToySize(0, 0, 4, 1), 0))
    patterns = ("striped", "plain", "logo", "checked")
    truths = [
        replace(
            one,
            person=replace(one.person, pattern=pattern),
            view=replace(one.view, facing="back"),
            captions=(),
        )
        for one, pattern in zip(truths, patterns, strict=True)
    ]
    front = replace(truths[0], captions=(ToyCaption("", {"pattern": "striped"}),))
    assert score_oracle([front, *truths[1:]]).rank_1 == 1.0
    back = replace(truths[2], captions=(ToyCaption("", {"pattern": "logo"}),))
    assert score_oracle([truths[0], truths[1], back, truths[3]]).rank_1 == pytest.approx(0.5)


def test_the_facing_helps_to_find_the_own_image():
    first, second = list(plan_dataset(ToySize(0, 0, 1, 2), 0))
    other = replace(second, person_id=2, view=replace(second.view, facing="back"), captions=())
    first = replace(first, view=replace(first.view, facing="front"), captions=(ToyCaption("", {"facing": "front"}),))
    assert score_oracle([first, other]).rank_1 == 1.0


def test_more_words_never_hurt_much_and_the_whole_caption_nearly_finds_everyone():
    truths = list(plan_dataset(ToySize(0, 0, 100), 0))
    report = score_oracle(truths)
    assert report.rank_1 > 0.97
    assert report.rank_1 <= report.rank_5 <= report.rank_10 <= 1.0


def test_the_query_oracle_agrees_with_a_slow_loop():
    truths = list(plan_dataset(ToySize(0, 0, 15, 3), 2))
    queries = sample_queries([truth.person for truth in truths], 30, seed=0)
    shares = []
    for query in queries:
        best = sorted((share_satisfied(truth.person, query.stated) for truth in truths), reverse=True)[:5]
        shares.append(sum(best) / 5)
    assert score_query_oracle(queries, truths) == pytest.approx(np.mean(shares))
    assert score_query_oracle(queries, truths, k=1) == 1.0
    assert score_query_oracle(queries, truths[:1], k=5) <= 1.0


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="at least one image"):
        score_oracle([])
    with pytest.raises(ValueError, match="at least one search"):
        score_query_oracle([], list(plan_dataset(ToySize(0, 0, 1, 1), 0)))
