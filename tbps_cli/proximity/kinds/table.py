"""All kinds of requests: another kind is a file beside this one, and an entry here."""

from __future__ import annotations

from tbps_cli.proximity.kinds.colour import ColourKind
from tbps_cli.proximity.kinds.kind import Kind
from tbps_cli.proximity.plan.colours import COLOUR

KINDS: dict[str, Kind] = {COLOUR: ColourKind()}
