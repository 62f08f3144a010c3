"""The evaluation of the released CTLG code, faults included: to compare with its figures, and with nothing else.

Letters: M captions, N images, D dimensions, b queries of a block, R relevant rows of the query that has most.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from tbps_cli.errors import DataError
from tbps_cli.retrieval.metrics.ranks import BLOCK_ELEMENTS, check_sides, find_relevant, rank_blocks


@dataclass(frozen=True)
class ReleasedReport:
    """Means over the queries, as fractions; `mean_ap` is a trapezoid's, and there is no mINP."""

    rank_1: float
    rank_5: float
    rank_10: float
    mean_ap: float
    queries: int
    gallery: int

    def as_dict(self) -> dict[str, float | int]:
        """Return the fields by name, for JSON."""
        return asdict(self)


def rank_as_released(
    captions: Tensor, caption_ids: Tensor, images: Tensor, image_rows: Tensor, *, block_elements: int = BLOCK_ELEMENTS
) -> ReleasedReport:
    """Rank as the released code does, on rows that hold a caption and its image each.

    - The gallery is every second such row. With two captions an image that is each image once; with one, as in
      ICFG-PEDES, half of the images are missing, and with three some come twice.
    - AP is the mean over relevant rows of (p + p') / 2, with p = j / rank the precision at the j-th relevant row and
      p' = (j - 1) / (rank - 1) that one place earlier, 1 at rank 1.
    - A query without a relevant row counts as 0 everywhere.

    Args:
        captions: (M, D) unit vectors, in the order of the annotations.
        caption_ids: (M,) person ids; nothing is relevant to a caption of an unknown person (-1).
        images: (N, D) unit vectors of the same type.
        image_rows: (M,) the image that each caption was written for.
        block_elements: similarities held in memory at a time.

    Raises:
        DataError: there is no caption; a row of the gallery does not know its image.

    Source: the evaluation in the code of Wu et al., TCSVT 2023, arXiv 2311.09084.
    Differs: ties. There an unstable sort leaves them to chance; here irrelevant rows come first.
    """
    if image_rows.shape != caption_ids.shape:
        raise ValueError(f"{tuple(image_rows.shape)} image rows of {tuple(caption_ids.shape)} captions")
    shown, gallery_ids = image_rows[::2].to(images.device), caption_ids[::2]
    unknown = 2 * (shown < 0).nonzero().squeeze(1)
    if len(unknown):
        raise DataError(
            f"{len(unknown)} of {len(shown)} captions that the released protocol puts into the gallery do not know "
            f"their image: the first is row {unknown[0]}. Use the standard protocol, or embed the data set again."
        )
    gallery = images[shown]
    check_sides(captions, caption_ids, gallery, gallery_ids)
    relevance = find_relevant(caption_ids.to(captions.device), gallery_ids)
    sums = torch.zeros(4, dtype=torch.float64, device=captions.device)
    for block in rank_blocks(captions, gallery, relevance, block_elements):
        ranks = block.ranks.double()  # (b, R)
        place = torch.arange(1, ranks.shape[1] + 1, device=ranks.device)  # (R,)
        before = torch.where(ranks > 1, (place - 1) / (ranks - 1).clamp(min=1), 1.0)
        precision = ((place / ranks + before) / 2 * block.is_relevant).sum(dim=1) / block.counts
        hits = [(block.ranks[:, 0] <= k).double() for k in (1, 5, 10)]
        sums += torch.stack([*hits, precision]).sum(dim=1)
    rank_1, rank_5, rank_10, mean_ap = (sums / len(captions)).tolist()
    return ReleasedReport(rank_1, rank_5, rank_10, mean_ap, len(captions), len(gallery))
