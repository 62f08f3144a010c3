"""A reader of HTML pages for tests: asserts what holds for every page, and collects what one holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

EVIL = '</title></style><script>alert(1)</script><img src="https://evil.example/x" onerror=alert(1)>"\'&lt;'
VOID = {"meta", "img", "wbr"}
FORBIDDEN = {"script", "link", "base", "iframe", "object", "embed", "form", "a", "video", "image", "use"}


class Reader(HTMLParser):
    """Checks that every tag is closed in order and collects what the page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], (self.open, tag)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    def all(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        """The attributes of every such tag, or of those whose class is among others `kind`."""
        return [
            found
            for name, found in self.tags
            if name == tag and (kind is None or kind in (found.get("class") or "").split())
        ]


def read(page: Path) -> Reader:
    """Parse a page and assert what holds for every one of them."""
    reader = Reader()
    text = page.read_text(encoding="utf-8")
    reader.feed(text)
    reader.close()
    assert reader.open == []
    assert not FORBIDDEN & {tag for tag, _ in reader.tags}
    for tag, attributes in reader.tags:
        assert not any(name.startswith("on") or name == "href" for name in attributes)
        if "src" in attributes:
            assert tag == "img"
            assert (attributes["src"] or "").startswith("data:image/jpeg;base64,")
        if tag == "img":
            assert attributes["alt"]
    assert not re.search(r"url\(|@import", text)
    policy = next(found for tag, found in reader.tags if tag == "meta" and "http-equiv" in found)
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert reader.tags[0] == ("html", {"lang": "en"})
    return reader
