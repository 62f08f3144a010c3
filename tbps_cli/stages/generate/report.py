"""What a generation came to: the numbers of its report, and the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tbps_cli import __version__
from tbps_cli.data.records import PersonRecord
from tbps_cli.paths import exists
from tbps_cli.proximity.generator import Request
from tbps_cli.proximity.plan.kinds import KINDS
from tbps_cli.proximity.plan.plan import Plan
from tbps_cli.recipe import GenerationRecipe
from tbps_cli.report.pairs_page import PairsSummary, ShownCaption, ShownMeasure, ShownPair, write_pairs_page
from tbps_cli.stages.generate.folder import GenerationFolder
from tbps_cli.stages.generate.maker import UNREADABLE

SHOWN = 60  # pairs of each kind that the page is offered; it takes what it has room for
MOST_NAMES = 20  # of unreadable images
# What the judge measures, in the order in which it is shown.
EXPLANATIONS = {
    "colour_before": "Share of the garment that had the old colour before.",
    "colour_now": "Share of the garment that has the new colour now.",
    "outside_psnr": "How much the rest of the image has stayed, in decibels.",
    "area": "Share of the image that the garment takes.",
    "shape": "Correlation of the outlines before and after, -1 to 1.",
    "sharpness": "Fine detail of the garment, as a multiple of the source's.",
    "blockiness": "Steps between JPEG blocks, as a multiple of the source's.",
    "similarity": "How much more like its new captions than its old ones the checkpoint finds the edit.",
    "similarity_before": "How much more like its old captions than the new ones the checkpoint finds the source.",
}
Line = Mapping[str, Any]  # of a part: number, drops, scores, evaluations, record


def summarise(dataset: str, recipe: GenerationRecipe, editor: str, plan: Plan, lines: Sequence[Line]) -> dict[str, Any]:
    """The report as plain values; it depends on nothing but its arguments."""
    kept = [line for line in lines if not line["drops"]]
    requests = {request.number: request for request in plan.requests}
    unreadable = [requests[line["number"]].source for line in lines if UNREADABLE in line["drops"]]
    return {
        "dataset": dataset,
        "recipe": recipe.name,
        "editor": editor,
        "tbps": __version__,
        "planned": len(plan.requests),
        "made": sum(line["is_drawn"] for line in lines),
        "kept": len(kept),
        "people": len({line["record"]["person_id"] for line in kept if line["record"].get("person") != "source"}),
        "captions": sum(len(line["record"]["captions"]) for line in kept),
        "evaluations": sum(line["evaluations"] for line in lines),
        "drops": dict(sorted(Counter(reason for line in lines for reason in line["drops"]).items())),
        "skipped": dict(sorted(plan.skipped.items())),
        "scores": {
            name: {"kept": _describe(name, kept), "all": _describe(name, lines)} for name in _list_scores(lines)
        },
        "unreadable": unreadable[:MOST_NAMES],
    }


def write_page(
    report: Mapping[str, Any],
    recipe: GenerationRecipe,
    plan: Plan,
    lines: Sequence[Line],
    folder: GenerationFolder,
    records: Mapping[str, PersonRecord],
) -> Path:
    """The page of a generation, with some of the kept and some of the dropped pairs. Raises OutputError."""
    requests = {request.number: request for request in plan.requests}
    kept = [line for line in lines if not line["drops"]]
    dropped = [line for line in lines if line["drops"]]
    found = (KINDS[request.kind].find_change(request) for request in (requests[line["number"]] for line in kept))
    changes = Counter(change for change in found if change is not None)

    def show(line: Line) -> ShownPair:
        number = line["number"]
        request = requests[number]
        kind, source = KINDS[request.kind], request.source
        return ShownPair(
            name=source if source is not None else folder.name_of(number),
            change=kind.describe(request),
            before=None if source is None or UNREADABLE in line["drops"] else records[source].image,
            after=folder.read_dropped(number) if line["drops"] else folder.image_of(number),
            captions=tuple(ShownCaption(*pair) for pair in kind.list_captions(request)),
            scores=_order(line["scores"]),
            reasons=tuple(line["drops"]),
        )

    shown = PairsSummary(
        title=f"{report['dataset']} · {recipe.name}",
        notes=(f"{report['editor']} · tbps {report['tbps']}",),
        planned=report["planned"],
        made=report["made"],
        kept=report["kept"],
        settings=tuple(_list_settings(recipe)),
        skipped=report["skipped"],
        reasons=report["drops"],
        changes=changes,
        measures=tuple(
            ShownMeasure(name, EXPLANATIONS.get(name, ""), _values(name, kept), _values(name, dropped))
            for name in _list_scores(lines)
        ),
        kept_pairs=tuple(show(line) for line in _sample(kept, recipe.seed, SHOWN)),
        dropped_pairs=tuple(show(line) for line in _sample_dropped(dropped, folder, recipe.seed)),
    )
    return write_pairs_page(shown, folder.page, overwrite=True)


def provenance_of(request: Request[Any], generator: str, scores: Mapping[str, float]) -> dict[str, Any]:
    """What a generated record says of where it comes from, beside the name of its source."""
    return {
        **KINDS[request.kind].tell_provenance(request),
        "request": request.kind,
        "seed": request.seed,
        "generator": generator,
        "tbps": __version__,
        "scores": dict(scores),
    }


def _describe(name: str, lines: Sequence[Line]) -> dict[str, float] | None:
    values = sorted(_values(name, lines))
    if not values:
        return None
    return {"mean": round(sum(values) / len(values), 4), "median": values[len(values) // 2]}


def _values(name: str, lines: Sequence[Line]) -> list[float]:
    return [line["scores"][name] for line in lines if name in line["scores"]]


def _list_scores(lines: Sequence[Line]) -> list[str]:
    found = {name for line in lines for name in line["scores"]}
    return list(_order(dict.fromkeys(sorted(found), 0.0)))


def _order(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores in the order in which they are shown."""
    places = {name: place for place, name in enumerate(EXPLANATIONS)}
    return dict(sorted(scores.items(), key=lambda item: (places.get(item[0], len(places)), item[0])))


def _list_settings(recipe: GenerationRecipe) -> list[tuple[str, str]]:
    settings = [("seed", str(recipe.seed))]
    for section in ("plan", "editor", "judge"):
        values = getattr(recipe, section).model_dump(mode="json", exclude_none=True)
        settings += [
            (f"{section}.{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value))
            for name, value in values.items()
        ]
    return settings


def _sample(lines: Sequence[Line], seed: int, count: int) -> list[Line]:
    drawn = Random(seed).sample(range(len(lines)), min(count, len(lines)))
    return [lines[place] for place in sorted(drawn)]


def _sample_dropped(lines: Sequence[Line], folder: GenerationFolder, seed: int) -> list[Line]:
    """Above all those of which there is a picture."""
    pictured = [line for line in lines if exists(folder.dropped_image_of(line["number"]))]
    refused = [line for line in lines if not line["is_drawn"]]
    return [*_sample(pictured, seed, SHOWN * 2 // 3), *_sample(refused, seed, SHOWN // 3)]
