"""The evaluation of the released CTLG code, faults included: to compare with its figures, and with nothing else."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from tbps_cli.retrieval.metrics import check_sides, find_relevant, rank_blocks


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


@torch.no_grad()
def rank_as_released(
    captions: Tensor, caption_ids: Tensor, images: Tensor, image_rows: Tensor, *, block_elements: int = 1 << 24
) -> ReleasedReport:
    """Rank as the released code does, on rows that hold an image with one caption each.

    - The gallery is every second such row. With two captions an image that is each image once; with one, as in
      ICFG-PEDES, half of the images are missing, and with three some come twice.
    - AP is the mean over relevant rows of (p + p') / 2, with p = j / rank the precision at the j-th relevant row and
      p' = (j - 1) / (rank - 1) that one place earlier, 1 at rank 1.
    - A query without a relevant row counts as 0 everywhere.

    Args:
        captions: (M, D) unit vectors, in the order of the annotations.
        caption_ids: (M,) person ids.
        images: (N, D) unit vectors.
        image_rows: (M,) the image that each caption was written for.

    Raises:
        DataError: there is no caption.

    Source: function.py and test_model.py of the authors' code (HCPLab-SYSU/PersonSearch-CTLG).
    Differs: ties. There an unstable sort leaves them to chance; here irrelevant rows come first.
    """
    shown = image_rows.to(images.device)[::2]
    gallery, gallery_ids = images[shown], caption_ids[::2]
    check_sides(captions, caption_ids, gallery, gallery_ids)
    relevance = find_relevant(caption_ids.to(captions.device), gallery_ids.to(captions.device))
    sums = torch.zeros(4, dtype=torch.float64, device=captions.device)
    for block in rank_blocks(captions, gallery, relevance, block_elements):
        ranks = block.ranks.double()  # (b, R)
        place = torch.arange(1, ranks.shape[1] + 1, device=ranks.device)  # (R,)
        before = torch.where(ranks > 1, (place - 1) / (ranks - 1).clamp(min=1), 1.0)
        trapezoid = (place / ranks + before) / 2 * block.is_relevant
        precision = trapezoid.sum(dim=1) / block.is_relevant.sum(dim=1)
        hits = [(block.ranks[:, 0] <= k).double() for k in (1, 5, 10)]
        sums += torch.stack([*hits, precision]).sum(dim=1)
    rank_1, rank_5, rank_10, mean_ap = (sums / len(captions)).tolist()
    return ReleasedReport(rank_1, rank_5, rank_10, mean_ap, len(captions), len(gallery))
