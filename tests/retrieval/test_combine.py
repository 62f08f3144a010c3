"""Several vectors as one query: scores are the weighted means of the parts' scores."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tbps_cli.errors import QueryError
from tbps_cli.retrieval.combine import combine_paraphrases, combine_queries, combine_text_and_image


def draw(count: int, dimension: int = 16) -> Tensor:
    return normalize(torch.randn(count, dimension, generator=torch.Generator().manual_seed(count)), dim=1)


@pytest.mark.parametrize("weights", [(1, 1, 1), (0.5, 2, 0), (3, -1, 0.25)])
def test_the_score_of_a_combination_is_the_weighted_mean_of_scores(weights: tuple[float, ...]) -> None:
    parts, gallery = draw(3), draw(20)
    total = sum(abs(weight) for weight in weights)
    combined = combine_queries(parts, weights)
    for row, score in zip(gallery, (gallery @ combined).tolist(), strict=True):
        expected = sum(weight / total * float(part @ row) for weight, part in zip(weights, parts, strict=True))
        assert score == pytest.approx(expected, abs=1e-6)


def test_only_the_proportions_of_weights_count() -> None:
    assert torch.allclose(combine_queries(draw(2), [1, 3]), combine_queries(draw(2), [20, 60]), atol=1e-7)


def test_the_share_of_the_image_goes_from_text_to_image() -> None:
    text, image = draw(2)
    assert torch.equal(combine_text_and_image(text, image, 0), text)
    assert torch.equal(combine_text_and_image(text, image, 1), image)
    assert torch.allclose(combine_text_and_image(text, image, 0.25), 0.75 * text + 0.25 * image, atol=1e-7)


def test_paraphrases_are_averaged_by_person_in_whatever_order_they_stand() -> None:
    sentences, people = draw(6), torch.tensor([2, 0, 1, 0, 2, 2])
    found = combine_paraphrases(sentences, people)
    for person, rows in enumerate([(1, 3), (2,), (0, 4, 5)]):
        expected = sum(sentences[row] for row in rows) / len(rows)
        assert torch.allclose(found[person], expected, atol=1e-7)


@pytest.mark.parametrize("weights", [(0, 0), (math.nan, 1), (math.inf, 1)])
def test_weights_that_say_nothing_are_refused(weights: tuple[float, float]) -> None:
    with pytest.raises(QueryError, match="give finite ones"):
        combine_queries(draw(2), weights)


def test_parts_that_cancel_each_other_are_refused() -> None:
    text = draw(1)[0]
    with pytest.raises(QueryError, match="cancel"):
        combine_text_and_image(text, -text)
    with pytest.raises(QueryError, match="cancel"):
        combine_queries(torch.stack([text, text]), [1, -1])
    with pytest.raises(QueryError, match="cancel"):
        combine_paraphrases(torch.stack([text, text, -text]), torch.tensor([0, 1, 1]))


def test_an_impossible_share_is_named() -> None:
    with pytest.raises(QueryError, match=r"is 1\.5: give one from 0"):
        combine_text_and_image(*draw(2), 1.5)


def test_arguments_that_do_not_fit_are_our_bug() -> None:
    with pytest.raises(ValueError, match="2 weights"):
        combine_queries(draw(3), [1, 1])
    with pytest.raises(ValueError, match="nobody describes"):
        combine_paraphrases(draw(2), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="people"):
        combine_paraphrases(draw(3), torch.tensor([0, 1]))
