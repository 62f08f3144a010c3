"""What a file is by its name: an image, a video, or nothing that anybody means who names a folder of images.

Lives here: the formats that are read, the names that are left out of folders and shards, and the count of what was
passed over. It refuses to know how folders are walked, and what is in a file.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from typing import NamedTuple

from PIL import features

try:
    from pillow_heif import register_heif_opener
except ImportError:
    HAS_HEIF = False
else:
    register_heif_opener()
    HAS_HEIF = True


class Format(NamedTuple):
    """A format of image files: Pillow's name, the suffixes of its files, and why it cannot be read; "" where it can.

    start: a pattern that the first bytes of its files match, for formats that may not be read.
    """

    name: str
    suffixes: tuple[str, ...]
    lacks: str = ""
    start: bytes = b""


def _lacks(feature: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an older Pillow warns of what it has never heard of
        return "" if features.check(feature) else "This Pillow cannot read it; install a newer one."


KNOWN = (
    Format("JPEG", (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo")),
    Format("PNG", (".png",)),
    Format("BMP", (".bmp",)),
    Format("WEBP", (".webp",)),
    Format("TIFF", (".tif", ".tiff")),
    Format("PPM", (".ppm", ".pgm")),
    Format("GIF", (".gif",)),
    Format("AVIF", (".avif",), _lacks("avif"), rb"....ftypavi"),
    Format("JPEG2000", (".jp2",), _lacks("jpg_2000"), rb"\0\0\0\x0cjP"),
    Format(
        "HEIF", (".heic", ".heif"), "" if HAS_HEIF else "It needs an extra: pip install 'tbps-cli[heic]'",
        rb"....ftyp(hei|hev|mif|msf)",
    ),
)  # fmt: skip
FORMATS = tuple(one.name for one in KNOWN if not one.lacks)
SUFFIXES = tuple(suffix for one in KNOWN for suffix in one.suffixes)  # known is enough: none is passed over
SHARD_SUFFIX = ".tar"
VIDEO_SUFFIXES = {
    *(".3gp", ".asf", ".avi", ".dav", ".flv", ".h264", ".h265", ".m2ts", ".m4v", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
}
FRAMES = "cut frames out of them first, such as ffmpeg -i VIDEO -r 1 frames/%06d.jpg"

MACOS, SYSTEM, HIDDEN = "macos", "system", "hidden"  # what is left out, and why
VIDEOS, LINKED_FOLDERS, DEAD_LINKS = "videos", "linked_folders", "dead_links"
_SAID = {
    MACOS: "{} that macOS packs beside files",
    SYSTEM: "{} for trash, thumbnails or the system (--include-hidden reads them)",
    HIDDEN: "{} hidden (--include-hidden reads them)",
    VIDEOS: f"{{}} videos ({FRAMES})",
    LINKED_FOLDERS: "{} linked folders (name them to have them read)",
    DEAD_LINKS: "{} links that lead nowhere",
}
_MACOS_NAMES = {"__macosx", ".appledouble", ".ds_store"}  # and ._NAME
_SYSTEM_NAMES = {
    *("$recycle.bin", "recycler", "#recycle", "@recycle", "lost+found", "system volume information", "#snapshot"),
    *("@eadir", ".@__thumb", ".thumbnails", ".picasaoriginals", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    *(".spotlight-v100", ".fseventsd", ".documentrevisions-v100", ".temporaryitems"),  # and .Trash…
}
_MOST_SUFFIXES = 1000  # that are counted
_SHOWN_SUFFIXES = 5
_LONGEST_SUFFIX = 12  # characters; what is longer is none
_OTHERS = "…"


def suffix_of(name: bytes) -> str:
    """The suffix of a file's name, in small letters."""
    return os.path.splitext(name)[1].lower().decode("utf-8", "backslashreplace")


def why_unread(start: bytes) -> str:
    """Why a file is no image that is read, told by its first bytes."""
    for one in KNOWN:
        if one.lacks and re.match(one.start, start, re.DOTALL):
            return f"an image in the format {one.name}. {one.lacks}"
    return f"not an image that tbps reads ({', '.join(FORMATS)})."


def left_out_as(name: bytes) -> str:
    """Why a file or folder of this name is left out of a walk; "" where it is not."""
    text = name.decode("utf-8", "backslashreplace").lower()
    if text.startswith("._") or text in _MACOS_NAMES:
        return MACOS
    if text in _SYSTEM_NAMES or text.startswith(".trash"):
        return SYSTEM
    return HIDDEN if text.startswith(".") else ""


class PassedOver:
    """How many entries of folders and shards were passed over, by kind, and other files by suffix.

    A folder counts once, whatever is in it.

    include_hidden: leave out nothing but what macOS packs beside files.
    """

    def __init__(self, *, include_hidden: bool = False) -> None:
        self._include_hidden = include_hidden
        self._kinds: Counter[str] = Counter()
        self._suffixes: Counter[str] = Counter()

    def kind_of(self, name: bytes) -> str:
        """Why a file or folder of this name is left out; "" where it is not."""
        kind = left_out_as(name)
        return "" if self._include_hidden and kind != MACOS else kind

    def add(self, kind: str) -> None:
        """Count an entry of a kind."""
        self._kinds[kind] += 1

    def add_file(self, name: bytes) -> None:
        """Count a file that is no image."""
        suffix = suffix_of(name)
        if suffix in VIDEO_SUFFIXES:
            return self.add(VIDEOS)
        suffix = suffix if len(suffix) <= _LONGEST_SUFFIX else ""
        is_counted = suffix in self._suffixes or len(self._suffixes) < _MOST_SUFFIXES
        self._suffixes[suffix if is_counted else _OTHERS] += 1

    def by_kind(self) -> dict[str, int]:
        """Counts of kinds, those of which there is none left out."""
        return {kind: self._kinds[kind] for kind in _SAID if self._kinds[kind]}

    def by_suffix(self) -> dict[str, int]:
        """Counts of other files, the most frequent suffixes first; "" for none, "…" for what is not listed."""
        return dict(sorted(self._suffixes.items(), key=lambda item: (-item[1], item[0])))

    def sentence(self) -> str:
        """All of it in one line; "" where nothing was passed over."""
        said = [_SAID[kind].format(f"{count:,}") for kind, count in self.by_kind().items()]
        others = list(self.by_suffix().items())
        if others:
            shown = [f"{count:,} {suffix or 'without a suffix'}" for suffix, count in others[:_SHOWN_SUFFIXES]]
            more = ["…"] if others[_SHOWN_SUFFIXES:] else []
            said.append(f"{self._suffixes.total():,} other files ({', '.join(shown + more)})")
        return f"passed over: {', '.join(said)}" if said else ""
