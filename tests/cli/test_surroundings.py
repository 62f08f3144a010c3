"""Every command wherever people start it: streams, encodings, folders and rights of all kinds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import h5py
import pytest

from tbps_cli.cli.main import COMMANDS, tbps
from tests.doubles.surroundings import Ended, Surroundings, run_in
from tests.doubles.tiny import TINY, TinyRun

Places = dict[str, Path]


@dataclass(frozen=True)
class Example:
    """A call of a command: what it needs of a run, a gallery and images, and how it ends in ordinary surroundings.

    Words in braces are places: {run}, {gallery}, {images} (a folder), {data} (the root), {out} (an empty folder).
    """

    words: str
    needs: tuple[str, ...] = ()
    code: int = 0
    more: tuple[str, ...] = ()

    def arguments(self, places: Places) -> list[str]:
        return [*self.words.format(**places).split(), *self.more]


SMALL = tuple(word for override in TINY for word in ("--set", override))
EXAMPLES = {
    "demo": Example("demo --out {gallery}/demo", code=1),  # to see it work takes a minute
    "generate": Example("generate --dataset toy-tiny --root {data} --limit 2 --plan {out}/plan.jsonl"),
    "fit": Example("fit absent.yaml --out {out}/fit", code=1),
    "train": Example("train toy --dry-run --root {data} --device cpu", ("images",), more=SMALL),
    "embed": Example(
        "embed --checkpoint {run} --images {images} --precision float32 --device cpu --out {out}/new.h5",
        ("run", "images"),
    ),
    "evaluate": Example("evaluate {gallery} --per-query {out}/queries.csv", ("gallery",)),
    "search": Example("search woman --gallery {gallery} --device cpu --html {out}/hits.html", ("gallery", "run")),
    "recipes": Example("recipes toy {out}/mine.yaml"),
    "doctor": Example("doctor"),
    "data list": Example("data list --root {data}"),
    "data check": Example("data check toy-tiny --root {data} --skip-images"),
    "data show": Example("data show toy-tiny --root {data} --people 2 --out {out}/page.html"),
    "data leaks": Example("data leaks toy-tiny:val toy-tiny:test --root {data} --html {out}/leaks.html"),
    "data convert": Example("data convert toy-tiny --root {data} --out {out}/all.jsonl"),
    "data toy": Example("data toy --size toy-tiny --root {data}"),
    "gallery show": Example("gallery show {gallery}", ("gallery",)),
    "gallery verify": Example("gallery verify {gallery}", ("gallery",)),
    "gallery merge": Example("gallery merge {gallery} --out {out}/both.h5", ("gallery",)),
    "gallery split": Example("gallery split {gallery} --parts 2 --out {out}/parts", ("gallery",)),
    "gallery drop": Example("gallery drop {copy} nobody.jpg", code=1),
    "gallery export": Example("gallery export {gallery} --to {out}/g.npz", ("gallery",)),
    "gallery index": Example("gallery index {copy} --kind sq8 --device cpu --overwrite"),
    "gallery push": Example("gallery push {gallery} --to nowhere", ("gallery",), code=1),
    "checkpoint list": Example("checkpoint list"),
    "checkpoint show": Example("checkpoint show {run}", ("run",)),
    "checkpoint export": Example("checkpoint export {run} --out {out}/model", ("run",)),
}
NAMES = sorted(EXAMPLES)
ORDINARY = Surroundings()
SAME = (
    Surroundings("cp1252, without HOME", encoding="cp1252", environment={"HOME": None}),
    Surroundings("cp437, standard input closed", encoding="cp437", closed=["stdin"]),
    Surroundings("ascii, standard error closed, TMPDIR gone", ["stderr"], [], "ascii", {"TMPDIR": "/nowhere"}),
)
SILENCED = (Surroundings("standard output closed", closed=["stdout"]), Surroundings("disk full", full=["stdout"]))


def commands() -> Iterator[str]:
    for name in COMMANDS:
        command = tbps.get_command(click.Context(tbps), name)
        below = command.list_commands(click.Context(command)) if isinstance(command, click.Group) else [""]
        yield from (f"{name} {other}".strip() for other in below)


def test_every_command_has_an_example() -> None:
    assert sorted(commands()) == NAMES


@pytest.fixture
def places(tiny: TinyRun, tmp_path: Path) -> Places:
    (tmp_path / "out").mkdir()
    return {
        "run": tiny.run,
        "gallery": tiny.gallery,
        "copy": Path(shutil.copy(tiny.gallery, tmp_path / "copy.h5")),
        "data": tiny.root,
        "images": tiny.root / "ToyPEDES-tiny/imgs/test",
        "out": tmp_path / "out",
    }


def call(name: str, surroundings: Surroundings, places: Places) -> tuple[Ended, list[str]]:
    """How a command ends, and what lies in its output folder then, which is emptied."""
    out = places["out"]
    ended = run_in(surroundings, out.parent, *EXAMPLES[name].arguments(places))
    assert "Traceback" not in ended.text, ended.text
    assert "Exception ignored" not in ended.text, ended.text
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
    assert not [name for name in written if "partial" in name or ".part" in name], written
    for path in out.rglob("*"):
        if path.suffix == ".h5":
            h5py.File(path).close()
        elif path.suffix in (".html", ".jsonl", ".csv"):
            assert path.read_bytes().endswith(b"\n"), path
    shutil.rmtree(out)
    out.mkdir()
    return ended, written


@pytest.mark.parametrize("name", NAMES)
def test_a_command_does_its_work_whatever_its_streams_are(name: str, places: Places) -> None:
    code = EXAMPLES[name].code
    ended, written = call(name, ORDINARY, places)
    assert ended.code == code, ended.text
    for surroundings in SAME:
        ended, again = call(name, surroundings, places)
        assert (ended.code, again) == (code, written), (surroundings.name, ended.text)
        (ended.stdout + ended.stderr).decode(surroundings.encoding)
    for surroundings in SILENCED:
        ended, again = call(name, surroundings, places)
        assert (ended.code, again) == (1, written), (surroundings.name, ended.text)
        if not code:
            assert ended.stderr.count(b"Error: standard output cannot be written") == 1, ended.text
    ended, again = call(name, Surroundings("no room for errors", full=["stderr"]), places)
    assert ended.code in (code, 1)
    assert again == written


@pytest.mark.parametrize("name", NAMES)
def test_a_command_says_that_its_folder_is_gone(name: str, places: Places, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    ended, written = call(name, Surroundings("folder gone", folder=gone, is_gone=True), places)
    assert (ended.code, written) == (1, [])
    assert ended.stderr == b"Error: the current folder is gone: change to one that exists.\n"


@pytest.mark.parametrize(
    ("name", "closed"),
    [(name, place) for name in NAMES for place in EXAMPLES[name].needs]
    + [(name, "out") for name in NAMES if "{out}" in EXAMPLES[name].words and not EXAMPLES[name].code],
)
def test_a_command_without_rights_says_so(name: str, closed: str, places: Places) -> None:
    with without_rights(places[closed]):
        ended = run_in(Surroundings(has_rights=False), places["out"].parent, *EXAMPLES[name].arguments(places))
    assert ended.code == 1, ended.text
    assert "Traceback" not in ended.text, ended.text
    assert ended.stderr.startswith(b"Error: "), ended.text
    assert not [path for path in places["out"].iterdir() if not path.name.endswith(".parts")]  # to go on with


@contextmanager
def without_rights(place: Path) -> Iterator[None]:
    mode = place.stat().st_mode
    place.chmod(0)
    try:
        yield
    finally:
        place.chmod(mode)
