"""How similar right and wrong pairs are."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tbps_cli.retrieval.distribution import measure_distribution


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 30), st.integers(0, 2**31), st.sampled_from([1, 9, 999]))
def test_every_pair_is_counted_where_it_belongs(
    queries: int, images: int, bins: int, seed: int, block_elements: int
) -> None:
    random = np.random.default_rng(seed)
    sides = [torch.nn.functional.normalize(torch.tensor(random.normal(size=(n, 3))), dim=1) for n in (queries, images)]
    ids = [torch.tensor(random.integers(0, 4, n)) for n in (queries, images)]
    found = measure_distribution(sides[0], ids[0], sides[1], ids[1], bins=bins, block_elements=block_elements)
    counts = {True: [0] * bins, False: [0] * bins}
    for query, person in zip(sides[0], ids[0], strict=True):
        for image, owner in zip(sides[1], ids[1], strict=True):
            place = int((float(query @ image) + 1) * (bins / 2))
            counts[bool(person == owner)][min(max(place, 0), bins - 1)] += 1
    assert found.right.sum() + found.wrong.sum() == queries * images
    # a similarity on an edge may fall to either side by its last bit
    assert np.abs(np.cumsum(found.right) - np.cumsum(counts[True])).max() <= 1
    assert np.abs(np.cumsum(found.wrong) - np.cumsum(counts[False])).max() <= 1
    assert len(found.edges) == bins + 1
    assert (found.edges[0], found.edges[-1]) == (-1, 1)


def test_rounding_beyond_one_is_counted_in_the_last_bin() -> None:
    one = torch.tensor([[1.0000001]])
    found = measure_distribution(one, torch.tensor([3]), one, torch.tensor([3]), bins=4)
    assert found.right.tolist() == [0, 0, 0, 1]
    assert found.wrong.sum() == 0
