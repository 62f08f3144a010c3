"""Where a collection of Milvus lives: a server's address, or a file of Milvus Lite.

Not known here: whether anything answers there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tbps_cli.errors import EngineError

TOKEN_VARIABLE = "TBPS_MILVUS_TOKEN"
LITE_COLLECTION = "gallery"  # of a file that is named without a collection
PORTS = {"http": 19530, "https": 443}
_HARMLESS = re.compile(r"(?:[A-Za-z]+:(?://)?)?(?:\[[0-9a-fA-F:]*\]|[\w.-]*)(?::[0-9]+(?![^/]))?(?:/[\w./-]*)?")
COLLECTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
NEXT_STEP = "Write http://HOST:19530/COLLECTION, https://HOST/COLLECTION, FILE.db or lite:FILE.db/COLLECTION"


@dataclass(frozen=True)
class MilvusPlace:
    """One collection, on a server or in a file. It never holds a token: that comes from the environment."""

    uri: str  # what pymilvus connects to: scheme, host and port, or a file that ends in .db
    collection: str

    @property
    def is_lite(self) -> bool:
        """Whether this is a file that Milvus Lite opens in this process."""
        return not self.uri.startswith(("http://", "https://"))

    def __str__(self) -> str:
        return f"lite:{self.uri}/{self.collection}" if self.is_lite else f"{self.uri}/{self.collection}"

    @staticmethod
    def is_meant_by(text: str) -> bool:
        """Whether `--gallery TEXT` names a collection, and not a feature file."""
        return text.lower().startswith(("http:", "https:", "lite:")) or "://" in text or text.endswith(".db")

    @classmethod
    def parse(cls, text: str) -> MilvusPlace:
        """Read `http://host:19530/people`, `https://host/people`, `people.db` or `lite:people.db/people`.

        Raises:
            EngineError: the text is none of these, or carries a password or token.
        """
        scheme = text.partition(":")[0].strip().lower()
        if scheme in PORTS or "://" in text:
            return _parse_address(text)
        path, collection = text, LITE_COLLECTION
        if scheme == "lite":
            path = text[len("lite:") :]
            if not path.endswith(".db"):
                path, _, collection = path.rpartition("/")
        if not path.endswith(".db") or path.endswith(("/.db", "\\.db")) or path == ".db" or "\0" in path:
            raise EngineError(f"{_shown(text)} is no place of Milvus. {NEXT_STEP}.")
        return cls(path, _checked(collection, text))


def _parse_address(text: str) -> MilvusPlace:
    if set("@?#") & set(text):  # wherever they are: what cannot be parsed may hold a password too
        raise EngineError(
            "the address of Milvus carries a user, a password or a query, and is not repeated here. Leave them out, "
            f"and give the token (or USER:PASSWORD) in the environment variable {TOKEN_VARIABLE}. {NEXT_STEP}."
        )
    try:
        address = urlsplit(text)
        port = address.port
    except ValueError:
        raise EngineError(f"{_shown(text)} is no address. {NEXT_STEP}.") from None
    if not address.hostname or re.search(r"[^A-Za-z0-9._:-]", address.hostname):
        raise EngineError(f"{_shown(text)} names no host. {NEXT_STEP}.")
    if address.scheme not in PORTS:
        raise EngineError(f"{_shown(text)} is no place of Milvus. {NEXT_STEP}.")
    host = f"[{address.hostname}]" if ":" in address.hostname else address.hostname
    port = PORTS[address.scheme] if port is None else port
    return MilvusPlace(f"{address.scheme}://{host}:{port}", _checked(address.path.strip("/"), text))


def _checked(collection: str, text: str) -> str:
    if not COLLECTION_NAME.fullmatch(collection):
        raise EngineError(
            f"{_shown(text)}: its end cannot be the name of a collection, which has letters, digits and underscores, "
            f"255 at most, and starts with no digit. {NEXT_STEP}."
        )
    return collection


def _shown(text: str) -> str:
    """A place that is refused, up to where it is none any more: behind that may be a password or a token."""
    if "@" in text:
        return "a place with an @, which is not repeated here,"
    start = _HARMLESS.match(text)
    shown = start[0] if start else ""
    return repr(text) if shown == text else f"{shown}…"
