"""The published figures agree with one another."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import combinations

import pytest

from tbps_cli.data.checks.published import PUBLISHED
from tbps_cli.data.layouts import LAYOUTS


@pytest.mark.parametrize(
    ("dataset", "images", "captions", "people"),
    [
        ("cuhk", 40_206, 80_440, 13_003),
        ("icfg", 54_522, 54_522, 4_102),
        ("rstp", 20_505, 41_010, 4_101),
        ("ufine", 26_206, 52_412, 6_926),
    ],
)
def test_the_splits_sum_to_the_whole(dataset: str, images: int, captions: int, people: int) -> None:
    published = PUBLISHED[dataset]
    parts = [published.whole] if published.whole else list(published.splits.values())
    assert (images, captions, people) == tuple(
        sum(getattr(part, name) for part in parts) for name in ("images", "captions", "people")
    )


def test_every_person_has_an_id_of_one_split() -> None:
    for published in PUBLISHED.values():
        ranges = [split.person_ids for split in published.splits.values()]
        assert [len(ids) for ids in ranges if ids] == [split.people for split in published.splits.values()]
        for one, other in combinations(ranges, 2):
            assert one
            assert other
            assert max(one[0], other[0]) > min(one[-1], other[-1])


def test_ids_agree_with_those_that_stand_for_splits_in_old_copies() -> None:
    by_id = LAYOUTS["rstp"].id_splits
    assert by_id == {split: published.person_ids for split, published in PUBLISHED["rstp"].splits.items()}


def test_odd_captions_are_more_and_not_fewer() -> None:
    for published in PUBLISHED.values():
        for split in published.splits.values():
            assert published.captions_an_image
            extra = split.captions - published.captions_an_image * split.images
            assert extra >= 0
            assert extra == 0 or published.odd_caption_images


def test_only_what_others_published_is_here_and_nobody_changes_it() -> None:
    assert set(PUBLISHED) == set(LAYOUTS) - {"toy", "toy-large", "toy-small", "toy-tiny"}
    with pytest.raises(FrozenInstanceError):
        PUBLISHED["cuhk"].captions_an_image = 3  # type: ignore[misc]
