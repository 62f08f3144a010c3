"""The chunks of a plan: made, judged and written one after the other, by one process or several."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from tbps_cli.data.records import PersonRecord
from tbps_cli.data.tables import row_of
from tbps_cli.processes import Processes
from tbps_cli.proximity.generator import Request
from tbps_cli.proximity.plan.kinds import KINDS
from tbps_cli.runtime import Advance, Progress
from tbps_cli.stages.generate.folder import GenerationFolder
from tbps_cli.stages.generate.maker import ImageMaker, Outcome
from tbps_cli.stages.generate.report import provenance_of

DROPPED_SHOWN = 2  # of a chunk: dropped images that are kept for the page


class Chunks:
    """The requests of a plan in chunks of fixed borders; a chunk that was written is never made again."""

    def __init__(self, requests: Sequence[Request[Any]], size: int, maker: ImageMaker) -> None:
        self.requests, self.size, self.maker = requests, size, maker

    def __len__(self) -> int:
        return -(-len(self.requests) // self.size)

    def __getitem__(self, chunk: int) -> Sequence[Request[Any]]:
        return self.requests[chunk * self.size : (chunk + 1) * self.size]

    def make_missing(self, folder: GenerationFolder, processes: Processes, progress: Progress) -> None:
        """Make the chunks that the folder lacks, together with the other processes."""
        missing = processes.broadcast(folder.list_missing(len(self)))
        done = len(self.requests) - sum(len(self[chunk]) for chunk in missing)
        if done:
            progress.note(f"{folder.folder}: goes on after {done:,} of {len(self.requests):,} edits")
        with progress.track("generating", len(self.requests)) as advance:
            advance(done, "")
            count = _with_pace(advance)
            for start in range(0, len(missing), processes.count):
                turn = missing[start : start + processes.count]
                with processes.stop_together():
                    if processes.rank < len(turn):
                        self._make(turn[processes.rank], folder, count)
                count(sum(len(self[chunk]) for chunk in turn[1:]))  # what the others made meanwhile

    def _make(self, chunk: int, folder: GenerationFolder, count: Callable[[int], None]) -> None:
        outcomes: list[Outcome] = []
        for batch in self.maker.make(self[chunk]):
            outcomes += batch
            count(len(batch))
        images = {outcome.request.number: outcome.content for outcome in outcomes if outcome.content is not None}
        kept = {outcome.request.number: images[outcome.request.number] for outcome in outcomes if not outcome.drops}
        dropped = [number for number in images if number not in kept][:DROPPED_SHOWN]
        lines = [self._tell(outcome, folder) for outcome in outcomes]
        folder.write_chunk(chunk, lines, kept, {number: images[number] for number in dropped})

    def _tell(self, outcome: Outcome, folder: GenerationFolder) -> dict[str, Any]:
        """The line of a part: what became of a request, and the record of what is kept."""
        request = outcome.request
        record = PersonRecord(
            folder.folder,
            folder.name_of(request.number),
            request.captions,
            request.person_id,
            "train",
            "proximity",
            request.source,
            "source" if KINDS[request.kind].keeps_person else "new",
        )
        provenance = provenance_of(request, self.maker.generator.fingerprint, outcome.scores)
        return {
            "number": request.number,
            "is_drawn": outcome.content is not None,
            "drops": list(outcome.drops),
            "scores": outcome.scores,
            "evaluations": outcome.evaluations,
            "record": None if outcome.drops else row_of(record) | {"provenance": provenance},
        }


def _with_pace(advance: Advance) -> Callable[[int], None]:
    """Moves the bar on, and says how fast the work goes."""
    began, made = time.monotonic(), 0

    def count(images: int) -> None:
        nonlocal made
        made += images
        advance(images, f"{made / max(time.monotonic() - began, 1e-3):.1f} images/s")

    return count
