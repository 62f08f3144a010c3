"""The import law, one importer for each heavy dependency, one writer of whole files, and the length of files."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tbps_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
ARCHITECTURE = (PACKAGE.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
GROUND = {
    "cells",
    "errors",
    "files",
    "libraries",
    "memory",
    "paths",
    "processes",
    "results",
    "workers",
    "__version__",
    "",
}  # everybody's
# How many things somebody sees on opening a room, `__init__.py` not counted.
MOST_CHILDREN = {"stages": 12, "data": 13, "proximity": 9, "encoders": 13, "retrieval": 9, "toypedes": 12}


def read_block(start: str) -> list[list[str]]:
    """The words of the lines of the first code block of ARCHITECTURE.md behind `start`."""
    block = ARCHITECTURE.partition(start)[2].split("```")[1]
    return [line.replace("->", " ").split() for line in block.strip().splitlines()]


# Which rooms a room may import.
LAW = {room: set(others) for room, *others in read_block("## The import law") if room != "others"}
# Who alone may import a library.
IMPORTERS: dict[str, set[str]] = {}
ROOMS = {path.name if path.is_dir() else path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}
for words in read_block("Who alone may import a library"):
    rooms = {word for word in words if word in ROOMS}
    IMPORTERS |= {word: rooms for word in words if word not in ROOMS}


def room_of(path: Path, package: Path = PACKAGE) -> str:
    relative = path.relative_to(package)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's syntax tree."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import of a file, those inside of functions too."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "tbps_cli":
                yield from ((node.lineno, f"tbps_cli.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module or ""


def breaches(files: list[Path], package: Path = PACKAGE) -> list[str]:
    found = []
    for path in files:
        room = room_of(path, package)
        for line, name in imports_of(path):
            place = f"{path.relative_to(package.parent)}:{line}"
            top, _, rest = name.partition(".")
            if top == "tbps_cli":
                other = rest.split(".")[0]
                if other not in {room} | GROUND | LAW.get(room, set()):
                    found.append(f"{place}: {room} imports {other}")
            elif room not in IMPORTERS.get(top, {room}):
                found.append(f"{place}: {room} imports {top}, which only {', '.join(IMPORTERS[top])} may")
    return found


def test_every_import_keeps_the_law() -> None:
    assert len(FILES) > 40
    assert breaches(FILES) == []


def test_the_law_is_read_from_the_page_and_allows_no_more_than_is_used() -> None:
    used: dict[str, set[str]] = {room: set() for room in LAW}
    for path in FILES:
        for _, name in imports_of(path):
            top, _, rest = name.partition(".")
            if top == "tbps_cli" and (other := rest.split(".")[0]) not in GROUND | {room_of(path)}:
                used[room_of(path)].add(other)
    assert used == LAW
    assert IMPORTERS["h5py"] == {"features"}
    assert IMPORTERS["transformers"] == {"encoders", "proximity"}
    assert set().union(*LAW.values()) <= ROOMS


def test_no_room_imports_one_that_imports_it() -> None:
    def reach(room: str, seen: frozenset[str]) -> set[str]:
        assert room not in seen, f"a circle through {room}"
        return {room}.union(*(reach(other, seen | {room}) for other in LAW.get(room, ())))

    assert reach("__main__", frozenset()) >= {"cli", "data", "losses"}


def test_the_page_names_every_room() -> None:
    tree = ARCHITECTURE.partition("## The tree")[2].split("```")[1].split()
    for path in (path for path in FILES if path.name == "__init__.py" and path.parent != PACKAGE):
        assert f"{path.parent.name}/" in tree, path


def test_every_file_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"`((?!tests)[a-z_]+/[a-z_/]+\.py)`", ARCHITECTURE.replace("/x.py", "/_x")))
    assert len(named) > 30
    coming = {"assembly/released.py"}
    assert not [name for name in named - coming if not (PACKAGE / name).is_file()]


@pytest.mark.parametrize("room", MOST_CHILDREN)
def test_a_room_is_seen_at_a_glance(room: str) -> None:
    children = [path for path in (PACKAGE / room).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert 1 < len(children) - 1 <= MOST_CHILDREN[room]


def test_four_files_with_one_prefix_are_a_folder() -> None:
    for folder in {path.parent for path in FILES}:
        prefixes = Counter(path.stem.split("_")[0] for path in folder.glob("[a-z]*.py"))
        assert not [prefix for prefix, count in prefixes.items() if count >= 4], folder


def test_what_a_room_is_takes_a_sentence_without_and() -> None:
    for path in (path for path in FILES if path.name == "__init__.py" and path.parent != PACKAGE):
        sentence = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]
        assert sentence.endswith((".", ":")), path
        assert " and " not in sentence, path


def test_tests_lie_where_what_they_test_lies() -> None:
    tests = PACKAGE.parent / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")} - {Path("."), Path("benchmarks")}
    assert len(folders) > 20
    assert not [folder for folder in folders if not (PACKAGE / folder / "__init__.py").is_file()]
    helpers = [path for path in tests.rglob("*.py") if not path.name.startswith(("test_", "conftest", "__init__"))]
    assert {path.parent.name for path in helpers} == {"doubles"}


def test_the_law_sees_imports_inside_functions(tmp_path: Path) -> None:
    bad = tmp_path / "tbps_cli" / "retrieval" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text("def f():\n    from tbps_cli.encoders import small\n    import rich.table\n")
    found = breaches([bad], package=tmp_path / "tbps_cli")
    assert [line.partition(": ")[2] for line in found] == [
        "retrieval imports encoders",
        "retrieval imports rich, which only cli may",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_has_at_most_400_lines_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "no module docstring"


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in FILES
        if room_of(path) != "cli"
        for node in nodes_of(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_nothing_is_ever_unpickled() -> None:
    for path in FILES:
        for line, name in imports_of(path):
            assert name.split(".")[0] not in {"pickle", "joblib", "dill"}, f"{path}:{line}"
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "weights_only"]
                assert safe == ["True"], f"{path}:{node.lineno}"


def disk_calls(path: Path) -> list[str]:
    """What a file does that files.py alone may do: rename, sync, lock, and name temporary files."""
    found = []
    for node in nodes_of(path):
        if isinstance(node, ast.Attribute) and node.attr in {"fsync", "flock", "lockf", "rename", "renames"}:
            found.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "replace":
            # str.replace takes two arguments, that of dataclasses keywords, that of Wording a list.
            is_of_path = len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.ListComp)
            if is_of_path or ast.unparse(node.func.value) == "os":
                found.append(f"{node.lineno}: replace")
    return found + [f"{line}: {name}" for line, name in imports_of(path) if name.split(".")[0] in {"fcntl", "tempfile"}]


def test_files_alone_renames_syncs_locks_and_makes_temporary_files(tmp_path: Path) -> None:
    calls = {str(path.relative_to(PACKAGE)): disk_calls(path) for path in FILES}
    assert [name for name, found in calls.items() if found] == ["files.py"]
    bad = tmp_path / "bad.py"
    bad.write_text("import tempfile\nos.replace(a, b)\na.replace(b)\na.rename(b)\nos.fsync(f)\n'a'.replace('b', 'c')\n")
    assert len(disk_calls(bad)) == 5


# What asks the disk about a path, and raises where a folder is closed, a name too long or a link a loop.
ASKING = {"exists", "is_file", "is_dir", "is_symlink", "is_mount", "is_fifo", "is_socket", "lstat", "stat", "samefile"}
ASKING |= {
    "resolve",
    "absolute",
    "expanduser",
    "iterdir",
    "glob",
    "rglob",
    "read_bytes",
    "read_text",
    "open",
    "readlink",
}
ASKING |= {"cwd", "home"}
ASKING_OF_OS = {"access", "getcwd", "getcwdb", "listdir", "lstat", "open", "scandir", "stat", "walk"}
ASKING_OF_PATH = {
    "abspath",
    "exists",
    "getmtime",
    "getsize",
    "isdir",
    "isfile",
    "islink",
    "lexists",
    "realpath",
    "samefile",
}
# What else has a method of such a name.
OTHERS = (
    "checkpoint.",
    "self.",
    "archive.",
    "collection.",
    "links.",
    "Run.",
    "GenerationFolder.",
    "zipfile.",
    "os.path.",
)
ALLOWED = {
    "cli/main.py": "asks once whether the current folder is there",
    "cli/streams.py": "puts /dev/null where a stream is closed",
    "data/crops": "asks the disk once an image, in bytes, for any number of images",
    "data/checks/files.py": "asks the disk once an image; what it raises is a finding",
    "data/sources.py": "asks the disk once an image",
    "report/html.py": "reads a file of this package",
    "data/transforms.py": "Pillow opens an image; what it raises is caught",
}
# What reads files of this package, or makes one anew.
OWN = ("joinpath('page.css').read_text", "os.access")


def questions(path: Path) -> list[str]:
    """Where a file asks the disk about a path itself."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        writes = any(isinstance(part, ast.Constant) and part.value in ("w", "a", "wb") for part in node.args)
        is_asked = not writes and (
            (owner == "os.path" and name in ASKING_OF_PATH)
            or (owner == "os" and name in ASKING_OF_OS)
            or called == "open"
            or (called == "Image.open" and not ast.unparse(node).startswith("Image.open(io.BytesIO("))
            or (
                name in ASKING
                and owner not in ("", "os", "os.path", "Image")
                and not f"{owner.rpartition('.')[2]}.".startswith(OTHERS)
            )
        )
        if is_asked:
            found.append(f"{node.lineno}: {called}")
    return found


def test_paths_alone_asks_the_disk_about_a_path(tmp_path: Path) -> None:
    asking = {
        str(path.relative_to(PACKAGE)): found
        for path in FILES
        if str(path.relative_to(PACKAGE)) not in ("paths.py", "files.py") and (found := questions(path))
    }
    unexplained = {name: found for name, found in asking.items() if not name.startswith(tuple(ALLOWED))}
    assert unexplained == {}
    assert not [name for name in ALLOWED if not any(other.startswith(name) for other in asking)]
    bad = tmp_path / "bad.py"
    bad.write_text(
        "a.exists()\nos.stat(a)\nopen(a)\nos.path.isfile(a)\na.b.open('rb')\nImage.open(a)\nos.path.join(a)\n"
    )
    assert len(questions(bad)) == 6


def test_files_needs_nothing_but_errors_and_the_standard_library() -> None:
    imported = {name.split(".")[0] for _, name in imports_of(PACKAGE / "files.py")}
    assert imported - set(sys.stdlib_module_names) == {"tbps_cli"}
    assert breaches([PACKAGE / "files.py"]) == []
    assert {name for _, name in imports_of(PACKAGE / "files.py") if name.startswith("tbps_cli")} == {
        "tbps_cli.errors",
        "tbps_cli.paths",
    }
