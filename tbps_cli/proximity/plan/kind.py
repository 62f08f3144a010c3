"""What a kind of request declares, for plan, judge and report. Names no kind."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Protocol

from tbps_cli.data.records import PersonRecord
from tbps_cli.proximity.generator import Request
from tbps_cli.proximity.judge.promises import Promise
from tbps_cli.proximity.lexicon import Lexicon


class Kind(Protocol):
    """A kind of request.

    needs_source: an image is made from one of the training split; otherwise from its captions alone.
    keeps_person: it shows the person of its source, and is learnt from as another image of that person.
    keys: what its lines in a plan have besides `request`, in this order; see `plan.file`.
    promises: what its images keep, or they are dropped, in the order in which the reasons are named.
    """

    needs_source: bool
    keeps_person: bool
    keys: tuple[str, ...]
    promises: tuple[Promise, ...]

    def write(self, request: Request[Any]) -> dict[str, Any]:
        """What a line says of a request: a value for each of `keys`."""

    def read(self, row: Mapping[str, Any], source: PersonRecord | None, lexicon: Lexicon) -> Request[Any]:
        """The request of a line that has all `keys`; the keys of every kind were checked. Raises LineError."""

    def find_identity(self, request: Request[Any]) -> Hashable | None:
        """What images of one new person share; None: the new person of this request has no other image."""

    def describe(self, request: Request[Any]) -> str:
        """A few words for the page: "coat: red to blue"."""

    def find_change(self, request: Request[Any]) -> tuple[str, str] | None:
        """What became what, to be counted; None where nothing is."""

    def list_captions(self, request: Request[Any]) -> list[tuple[str, str]]:
        """Captions before and after; nothing before, where there was none."""

    def tell_provenance(self, request: Request[Any]) -> dict[str, Any]:
        """What a record says of where it comes from, beside its source, seed, generator and scores."""
