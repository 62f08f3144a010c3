"""Queries -> unit vectors, by the encoder of a gallery's checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from tbps_cli.assembly.models import LoadedEncoder, read_least_score
from tbps_cli.errors import DataError, QueryError, TbpsError
from tbps_cli.retrieval.combine import combine_paraphrases, combine_text_and_image
from tbps_cli.stages.embed.split import embed_captions
from tbps_cli.stages.search.queries import Query, check_line
from tbps_cli.stages.search.query_encoder import GalleryInfo, check_query_encoder, load_query_encoder


class QueryEmbedder:
    """Embeds queries, in several threads at once. The image half is loaded at the first query with an image.

    Encoders in eval mode and tokenizers only read what they hold, so that threads share them; on Apple's GPU one
    thread computes at a time, for torch's MPS backend has one command buffer for all.

    Args: as `load_query_encoder`; `image` loads the image half now.
    """

    def __init__(
        self, info: GalleryInfo, place: str, checkpoint: str | None, device: str, *, image: bool = False
    ) -> None:
        self._loading = (info, place, checkpoint, device)
        self._text = load_query_encoder(*self._loading, image=image)
        self.least_score = read_least_score(self._text.checkpoint)  # of a likely hit of sentences, where it is known
        self._image = self._text if image else None
        self._image_turn = threading.Lock()
        self._device = next(self._text.dual.parameters()).device
        self._turn = threading.Lock() if self._device.type == "mps" else nullcontext()

    def check(self, info: GalleryInfo, place: str) -> None:
        """Raise FeatureMismatchError when another gallery was embedded by another checkpoint."""
        check_query_encoder(self._text, info, place)

    @torch.inference_mode()
    def embed(
        self, queries: Sequence[Query], refused: dict[int, TbpsError] | None = None
    ) -> tuple[dict[int, Tensor], list[str]]:
        """(D,) unit vectors on the CPU by the places of their queries, and what is to be said of them.

        refused: as `SearchSession.ask` has it.

        Raises QueryError, DataError for an image, CheckpointError or FeatureMismatchError for the image half.
        """
        notes: list[str] = []
        embedded: dict[int, Tensor] = {}
        for number, query in enumerate(queries):
            try:
                embedded[number] = self._embed(query, notes)
            except (QueryError, DataError) as error:
                named = f"line {query.line}: " if query.line else f"query {number + 1}: " if len(queries) > 1 else ""
                problem = type(error)(f"{named}{error}")
                if refused is None:
                    raise problem from None
                refused[number] = problem
        return embedded, notes

    def _embed(self, query: Query, notes: list[str]) -> Tensor:
        """(D,) unit vector."""
        text = image = None
        normalise = self._text.dual.normalise
        if query.sentences:
            for sentence in query.sentences:
                if unknown := self._check(sentence, query):
                    notes.append(f"unknown to the model, ignored: {', '.join(unknown)}")
            with self._turn:
                parts = [rows for _, rows in embed_captions(self._text.dual, self._text.tokenizer, query.sentences)]
            embedded = torch.cat(parts)
            text = combine_paraphrases(embedded, torch.zeros(len(embedded), dtype=torch.int64))[0]
        if query.image is not None:
            encoder = self._load_image_half()
            with self._image_turn:  # reading an image sets filters of warnings, which are those of all threads
                pixels = encoder.transform.read(query.image)
            with self._turn:
                image = encoder.dual.encode_image(encoder.transform.normalise(pixels[None]).to(self._device))[0].cpu()
        if text is None and image is None:
            raise QueryError("a query without words and without an image asks for nothing. Describe someone.")
        if text is not None and image is not None:
            text = combine_text_and_image(normalise(text), image, query.image_weight)
        whole = text if text is not None else image
        assert whole is not None
        return normalise(whole)

    def _check(self, sentence: str, query: Query) -> list[str]:
        """The unknown words of a sentence. Raises QueryError, which says why it was taken for one."""
        try:
            if query.line and len(query.sentences) > 1 and not any(map(str.isalpha, sentence)):
                raise QueryError("a number says nothing of a person. Leave it out.")
            if query.line:
                return check_line(sentence, self._text.tokenizer)
            return self._text.tokenizer.check_query(sentence)
        except QueryError as error:
            if len(query.sentences) == 1:
                raise
            why = ", since tabs part sentences about one person" if query.line else ""
            raise QueryError(f"{sentence[:60]!r} was read as a sentence of its own{why}; {error}") from None

    def _load_image_half(self) -> LoadedEncoder:
        """Load it once. Raises FeatureMismatchError when another checkpoint lies there by now."""
        with self._image_turn:
            if self._image is None:
                self._image = load_query_encoder(*self._loading, image=True, text=False)
            return self._image
