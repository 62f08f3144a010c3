"""What only ToyPEDES can tell, because the truth about its people is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tbps_cli.assembly.models import LoadedEncoder
from tbps_cli.errors import DataError
from tbps_cli.retrieval.gallery import Gallery
from tbps_cli.runtime import Progress
from tbps_cli.stages.embed.split import embed_captions
from tbps_cli.toypedes.dataset import SIZES, read_truth
from tbps_cli.toypedes.oracle import OracleReport, score_oracle, score_query_oracle
from tbps_cli.toypedes.sentences.queries import sample_queries, share_satisfied
from tbps_cli.toypedes.truth import ImageTruth

SHORT_QUERIES = 200
FIRST_HITS = 5


@dataclass(frozen=True)
class ShortQueryReport:
    """How far the first hits of short queries are what was asked for.

    share, bound: mean share of the stated attributes that the first five hits truly have, and
    the best that any ranking of this gallery could reach; fractions.
    """

    share: float
    bound: float
    queries: int


def find_oracle(dataset: str, folder: Path, split: str, progress: Progress) -> OracleReport | None:
    """The best that any system could reach on a ToyPEDES split; None for other data sets."""
    if dataset not in SIZES:
        return None
    try:
        return score_oracle(read_truth(folder, split))
    except DataError as error:
        progress.note(f"no oracle: {error}")
        return None


def score_short_queries(
    encoder: LoadedEncoder, gallery: Gallery, truths: list[ImageTruth], seed: int = 0
) -> ShortQueryReport:
    """Search for generated descriptions of two to four things; row i of the gallery shows truths[i]."""
    people = list({truth.person_id: truth.person for truth in truths}.values())
    queries = sample_queries(people, SHORT_QUERIES, seed)
    embedded = [rows for _, rows in embed_captions(encoder.dual, encoder.tokenizer, [q.text for q in queries])]
    hits = gallery.search(torch.cat(embedded), FIRST_HITS)
    shares = [
        share_satisfied(truths[row].person, query.stated)
        for query, rows in zip(queries, hits.rows.tolist(), strict=True)
        for row in rows
    ]
    return ShortQueryReport(sum(shares) / len(shares), score_query_oracle(queries, truths, FIRST_HITS), len(queries))
