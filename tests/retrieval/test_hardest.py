"""The queries that went most wrong."""

from __future__ import annotations

import torch

from tbps_cli.retrieval.hardest import find_hardest
from tbps_cli.retrieval.metrics import measure_queries


def problem(queries: int = 40, images: int = 25) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    matrices = [
        torch.nn.functional.normalize(torch.randn(count, 5, generator=generator), dim=1) for count in (queries, images)
    ]
    return matrices[0], torch.arange(queries) % 8, matrices[1], torch.arange(images) % 8


def test_the_worst_come_first_and_each_person_once() -> None:
    sides = problem()
    metrics = measure_queries(*sides)
    hardest = find_hardest(metrics, *sides, count=5, k=3)
    ranks = [query.rank for query in hardest]
    assert ranks == sorted(ranks, reverse=True)
    assert ranks[0] == int(metrics.first_ranks.max())
    people = [int(sides[1][query.row]) for query in hardest]
    assert len(set(people)) == len(people) == 5
    for query, person in zip(hardest, people, strict=True):
        worst = metrics.first_ranks[sides[1] == person].max()
        assert query.rank == int(worst)


def test_hits_and_the_right_image_are_what_a_sort_finds() -> None:
    queries, query_ids, gallery, gallery_ids = sides = problem()
    for found in find_hardest(measure_queries(*sides), *sides, k=4):
        scores = gallery @ queries[found.row]
        order = scores.argsort(descending=True)
        assert list(found.rows) == order[:4].tolist()
        assert torch.allclose(torch.tensor(found.scores), scores[order[:4]], atol=1e-6)
        is_right = gallery_ids[order] == query_ids[found.row]
        assert found.rank == int(is_right.nonzero()[0]) + 1
        assert found.right_row == int(order[found.rank - 1])
        assert abs(found.right_score - float(scores[found.right_row])) < 1e-6


def test_there_are_as_many_as_there_are_people() -> None:
    sides = problem(queries=6, images=9)
    hardest = find_hardest(measure_queries(*sides), *sides, count=12, k=50)
    assert len(hardest) == 6
    assert all(len(query.rows) == 9 for query in hardest)
