"""All kinds of requests: another kind is a file beside this one, its promises in `judge/`, and an entry here."""

from __future__ import annotations

from tbps_cli.proximity.plan.colour_kind import ColourKind
from tbps_cli.proximity.plan.colours import COLOUR
from tbps_cli.proximity.plan.kind import Kind

KINDS: dict[str, Kind] = {COLOUR: ColourKind()}
