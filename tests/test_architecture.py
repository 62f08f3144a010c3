"""The import law, one importer for each heavy dependency, one writer of whole files, and the length of files."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tbps_cli"
FILES = sorted(PACKAGE.rglob("*.py"))
# Which rooms a room may import; the ground floor is everybody's.
GROUND = {"errors", "files", "libraries", "processes", "workers", "__version__", ""}
LAW: dict[str, set[str]] = {
    "cli": {"stages", "recipe", "runtime"},
    "stages": {
        "assembly", "checkpoint", "data", "encoders", "features", "proximity", "recipe", "report", "retrieval",
        "runtime", "toypedes", "training",
    },
    "assembly": {
        "checkpoint", "data", "encoders", "losses", "proximity", "recipe", "runtime", "toypedes", "training",
    },
    "training": {"data", "losses"},
    "proximity": {"data"},
    "report": {"data"},
    "data": set(),
    "toypedes": set(),
    "encoders": set(),
    "losses": set(),
    "retrieval": set(),
    "features": set(),
    "checkpoint": set(),
    "runtime": set(),
    "recipe": set(),
    "errors": set(),
    "files": set(),
    "libraries": set(),
    "processes": set(),
    "workers": set(),
    "__init__": set(),
    "__main__": {"cli"},
}  # fmt: skip
# Who alone may import a package.
IMPORTERS: dict[str, set[str]] = {
    "click": {"cli"},
    "rich": {"cli"},
    "yaml": {"recipe"},
    "pydantic": {"recipe"},
    "h5py": {"features"},
    "safetensors": {"checkpoint", "encoders", "proximity"},
    "tokenizers": {"encoders"},
    "huggingface_hub": {"encoders"},
    "open_clip": {"encoders"},
    "timm": {"encoders"},
    "transformers": {"encoders", "proximity"},
    "diffusers": {"proximity"},
    "peft": {"proximity"},
    "faiss": {"retrieval"},
    "pymilvus": {"retrieval"},
    "milvus_lite": {"retrieval"},
}


def room_of(path: Path, package: Path = PACKAGE) -> str:
    relative = path.relative_to(package)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import of a file, those inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
                if other not in {room} | GROUND | LAW[room]:
                    found.append(f"{place}: {room} imports {other}")
            elif room not in IMPORTERS.get(top, {room}):
                found.append(f"{place}: {room} imports {top}, which only {', '.join(IMPORTERS[top])} may")
    return found


def test_every_import_keeps_the_law() -> None:
    assert len(FILES) > 40
    assert breaches(FILES) == []


def test_every_room_has_a_law() -> None:
    assert {room_of(path) for path in FILES} <= set(LAW)


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
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_nothing_is_ever_unpickled() -> None:
    for path in FILES:
        for line, name in imports_of(path):
            assert name.split(".")[0] not in {"pickle", "joblib", "dill"}, f"{path}:{line}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "weights_only"]
                assert safe == ["True"], f"{path}:{node.lineno}"


def disk_calls(path: Path) -> list[str]:
    """What a file does that files.py alone may do: rename, sync, lock, and name temporary files."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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


def test_files_needs_nothing_but_errors_and_the_standard_library() -> None:
    imported = {name.split(".")[0] for _, name in imports_of(PACKAGE / "files.py")}
    assert imported - set(sys.stdlib_module_names) == {"tbps_cli"}
    assert breaches([PACKAGE / "files.py"]) == []
    assert {name for _, name in imports_of(PACKAGE / "files.py") if name.startswith("tbps_cli")} == {"tbps_cli.errors"}
