"""The plan of a generation: which garment of which image gets which other colour.

Every chance hangs on the seed and the name of the image (or the number of the person), never on
the place in a list, so that further images change nothing else. Knows no editor and opens no
image; how a plan lies on the disk is in `file`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tbps_cli.data.records import UNKNOWN_PERSON, PersonRecord
from tbps_cli.errors import DataError, RecipeError
from tbps_cli.proximity.captions.colour_words import list_hues
from tbps_cli.proximity.captions.edits import CaptionEdit, edit_caption
from tbps_cli.proximity.captions.ownership import EDITABLE_KINDS
from tbps_cli.proximity.captions.statements import Statement, read_statements
from tbps_cli.proximity.generator import Request
from tbps_cli.proximity.lexicon import Lexicon
from tbps_cli.proximity.plan.plan import Plan

COLOUR = "colour"  # the kind of these requests

Garment = tuple[str, str]  # kind and basic colour: what edits of one image tell apart


@dataclass(frozen=True, slots=True)
class PlannedEdit:
    """A garment that gets another colour, in an image of a person and in its captions."""

    number: int  # place in the plan, from 0; names the image file
    image: str  # PersonRecord.name of the source
    person_id: int  # of the source
    new_person_id: int
    kind: str
    garment: str
    old_colour: str
    new_colour: str
    captions: tuple[CaptionEdit, ...]  # at least one: all that take part
    left_out: tuple[str, ...]  # captions of the image that say nothing of this colour, or contradict it
    seed: int  # of the editor's chances

    def as_request(self) -> Request[PlannedEdit]:
        """What a generator is asked for."""
        captions = tuple(caption.edited for caption in self.captions)
        return Request(self.number, COLOUR, self.image, self.new_person_id, captions, self.seed, details=self)


def list_edits(plan: Plan) -> tuple[PlannedEdit, ...]:
    """The colour edits of a plan, in its order."""
    return tuple(request.details for request in plan.requests if request.kind == COLOUR)


class EditPlanner:
    """Chooses edits for the images of a training split.

    per_image: edits of one image at most; no two give the same garment the same colour.
    colours: how the new colour is drawn: uniform, or rare, by one over the number of captions that
        state it of that kind of garment (and one more).
    share_identity: all images of a person whose captions allow it get the same change, and become
        images of one new person. Otherwise each new image shows a new person.
    kinds: of garments that may change; kinds of the lexicon.

    A new colour is never one that the image's captions give to that part of the body.

    Raises RecipeError for settings that no plan can keep to.
    """

    def __init__(
        self,
        lexicon: Lexicon,
        seed: int,
        per_image: int = 1,
        colours: Literal["uniform", "rare"] = "uniform",
        share_identity: bool = False,
        kinds: Sequence[str] = ("whole", "upper", "lower"),
    ) -> None:
        unknown = sorted(set(kinds) - set(EDITABLE_KINDS))
        if unknown or not kinds:
            raise RecipeError(
                f"plan.kinds: {', '.join(unknown) or 'none at all'}; name some of {', '.join(sorted(EDITABLE_KINDS))}."
            )
        if per_image < 1:
            raise RecipeError(f"plan.per_image is {per_image}; ask for at least 1 edit an image.")
        if colours not in ("uniform", "rare"):
            raise RecipeError(f"plan.colours is {colours!r}; use uniform or rare.")
        if len(lexicon.proposed) < 2:
            raise RecipeError("The lexicon has fewer than two colours to give; name them in its hues.txt.")
        self.per_image, self.colours, self.share_identity = per_image, colours, share_identity
        self.kinds = tuple(dict.fromkeys(kinds))
        self._lexicon, self._seed = lexicon, seed

    def plan(self, records: Sequence[PersonRecord], first_person_id: int) -> Plan:
        """Plan edits of training records; new people are numbered from `first_person_id`.

        Raises DataError for a record that must not be edited: of another split, or itself generated.
        """
        for record in records:
            _refuse_to_edit(record)
            assert record.person_id < first_person_id, (record.name, record.person_id, first_person_id)
        skipped: Counter[str] = Counter()
        readable: list[_Image] = []
        stated: dict[str, Counter[str]] = {kind: Counter() for kind in EDITABLE_KINDS}
        for record in records:
            statements = [read_statements(caption, self._lexicon) for caption in record.captions]
            for statement in statements:
                for kind, colour in {(phrase.kind, phrase.colour) for phrase in statement.phrases}:
                    stated[kind][colour] += 1
            garments, reason = _choose_garments(statements, self.kinds)
            if reason:
                skipped[reason] += 1
            else:
                readable.append(_Image(record, statements, garments))
        choose = self._plan_people if self.share_identity else self._plan_images
        requests = tuple(edit.as_request() for edit in choose(readable, stated, first_person_id, skipped))
        return Plan(requests, dict(sorted(skipped.items())))

    def _plan_images(
        self, images: Sequence[_Image], stated: Mapping[str, Counter[str]], person: int, skipped: Counter[str]
    ) -> Iterator[PlannedEdit]:
        number = 0
        for image in images:
            rng = Random(_hash(self._seed, "image", image.record.name))
            changes = self._draw_changes(image.garments, [image], stated, rng)
            if not changes:
                skipped["no-colour-left"] += 1
            for garment, colour in changes:
                yield self._make_edit(number, image, person + number, garment, colour)
                number += 1

    def _plan_people(
        self, images: Sequence[_Image], stated: Mapping[str, Counter[str]], person: int, skipped: Counter[str]
    ) -> Iterator[PlannedEdit]:
        people: dict[int | str, list[_Image]] = {}
        for image in images:
            # Nobody knows who is whom in a bare folder: there each image is a person.
            known = image.record.person_id != UNKNOWN_PERSON
            people.setdefault(image.record.person_id if known else image.record.name, []).append(image)
        number = 0
        for key, own in people.items():
            rng = Random(_hash(self._seed, "person", str(key)))
            votes = Counter(garment for image in own for garment in image.garments)
            # Garments that most images show come first, and chance decides among equals.
            order = sorted(votes, key=lambda garment: (-votes[garment], rng.random()))
            changes = self._draw_changes(order, own, stated, rng, shuffle=False)
            edited: set[str] = set()
            for garment, colour in changes:
                for image in own:
                    if garment in image.garments:
                        edited.add(image.record.name)
                        yield self._make_edit(number, image, person, garment, colour)
                        number += 1
                person += 1
            reason = "another-change-of-the-person" if changes else "no-colour-left"
            skipped[reason] += sum(image.record.name not in edited for image in own)
        skipped += Counter()  # drops zeros

    def _draw_changes(
        self,
        garments: Sequence[Garment],
        images: Sequence[_Image],
        stated: Mapping[str, Counter[str]],
        rng: Random,
        *,
        shuffle: bool = True,
    ) -> list[tuple[Garment, str]]:
        """Up to `per_image` pairs of a garment and its new colour: garments in turn, each colour once."""
        order = rng.sample(garments, len(garments)) if shuffle else list(garments)
        free = {garment: self._list_colours(garment, images) for garment in order}
        changes: list[tuple[Garment, str]] = []
        while len(changes) < self.per_image and any(free.values()):
            for garment in order:
                if free[garment] and len(changes) < self.per_image:
                    weights = [self._weigh(garment[0], colour, stated) for colour in free[garment]]
                    (colour,) = rng.choices(free[garment], weights)
                    free[garment].remove(colour)
                    changes.append((garment, colour))
        return changes

    def _list_colours(self, garment: Garment, images: Sequence[_Image]) -> list[str]:
        """New colours that cannot be mistaken for one that the captions tell of."""
        kind, old = garment
        taken = {old}
        for image in images:
            for statement in image.statements:
                for phrase in statement.phrases:
                    if _overlap(phrase.kind, kind):
                        taken |= {phrase.colour, *list_hues(phrase.words, self._lexicon)}
                taken |= {hue for owner, hue in statement.others if owner is None or _overlap(owner, kind)}
        return [colour for colour in self._lexicon.proposed if colour not in taken]

    def _weigh(self, kind: str, colour: str, stated: Mapping[str, Counter[str]]) -> float:
        return 1 / (stated[kind][colour] + 1) if self.colours == "rare" else 1.0

    def _make_edit(self, number: int, image: _Image, person: int, garment: Garment, colour: str) -> PlannedEdit:
        captions = []
        left_out = []
        for statement in image.statements:
            mentions = statement.mentions_of(*garment)
            if mentions:
                captions.append(edit_caption(statement.caption, mentions[0], colour, mentions[1:]))
            else:
                left_out.append(statement.caption)
        kind, old = garment
        name = image.record.name
        return PlannedEdit(
            number=number,
            image=name,
            person_id=image.record.person_id,
            new_person_id=person,
            kind=kind,
            garment=captions[0].garment,
            old_colour=old,
            new_colour=colour,
            captions=tuple(captions),
            left_out=tuple(left_out),
            seed=_hash(self._seed, "edit", name, kind, old, colour),
        )


@dataclass(frozen=True)
class _Image:
    """An image with a garment to change: a record, what its captions state, and its candidates."""

    record: PersonRecord
    statements: list[Statement]
    garments: list[Garment]


def _refuse_to_edit(record: PersonRecord) -> None:
    if record.split not in ("train", None):
        raise DataError(f"{record.name} is of the split {record.split}: only training images are edited; leave it out.")
    if record.origin != "camera":
        raise DataError(f"{record.name} was generated itself: only camera images are edited; leave it out.")


def _choose_garments(statements: Sequence[Statement], kinds: Sequence[str]) -> tuple[list[Garment], str]:
    """The garments that may change, by what most captions state; or why there is none."""
    if not any(statement.caption.strip() for statement in statements):
        return [], "no-captions"
    phrases = [(phrase.kind, phrase.colour) for statement in statements for phrase in statement.phrases]
    wanted = [garment for garment in dict.fromkeys(phrases) if garment[0] in kinds]
    if not wanted:
        return [], "no-garment-with-a-colour" if not phrases else "no-garment-of-these-kinds"
    votes = {garment: sum(bool(statement.mentions_of(*garment)) for statement in statements) for garment in wanted}
    chosen = []
    for kind in kinds:
        most = max((count for (its_kind, _), count in votes.items() if its_kind == kind), default=0)
        chosen += [garment for garment, count in votes.items() if garment[0] == kind and count == most > 0]
    return chosen, "" if chosen else "ambiguous"


def _overlap(kind: str, other: str) -> bool:
    """Whether two kinds of garments cover the same part of the body."""
    return kind == other or ("whole" in (kind, other) and {kind, other} <= {"whole", "upper", "lower"})


def _hash(*parts: object) -> int:
    """63 bits that are the same on every machine."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:8], "big") >> 1
