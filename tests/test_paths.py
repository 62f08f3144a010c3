"""Whatever a path is, looking at it and reading it raises nothing but an error of the user's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tbps_cli import paths
from tbps_cli.errors import DataError, TbpsError
from tests.doubles.surroundings import drop_rights

ASKED: list[Callable[[Path], Any]] = [
    lambda path: paths.open_file(path, DataError).close(),
    lambda path: paths.read_whole(path, DataError, most=100),
    lambda path: paths.read_text(path, DataError),
    lambda path: paths.size_of(path, DataError),
    lambda path: paths.list_folder(path, DataError),
    lambda path: paths.refuse_closed(path, DataError),
    lambda path: paths.find_matches(path, "*/*"),
    paths.absolute_path,
    paths.real_path,
    paths.identity_of,
    paths.exists,
    paths.is_taken,
    paths.is_file,
    paths.is_folder,
    paths.is_link,
    paths.may_write,
]


def ask_everything(path: Path) -> list[str]:
    """What is said of a path by everything that can be asked of one."""
    said = []
    for ask in ASKED:
        try:
            ask(path)
        except TbpsError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize(
    "name", ["absent", "file/below", "loop", "pipe", "socket", "n" * 300, "n/" * 3000, "a\0b", "\ud800"]
)
def test_nothing_but_an_error_of_the_user_is_raised_and_nothing_is_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        said = ask_everything(tmp_path / name)
    assert 4 <= len(said) <= 6
    assert all(name.partition("/")[0] in line and line.endswith(".") for line in said)


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/full", "/dev/tty"])
def test_a_device_is_not_read(place: str) -> None:
    with pytest.raises(DataError, match=place):
        paths.read_whole(place, DataError)


def test_a_folder_that_is_closed_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "file").write_text("x")
    (tmp_path / "closed").chmod(0)
    code = "import sys; from pathlib import Path; from tests.test_paths import ask_everything\n"
    code += "print(*ask_everything(Path(sys.argv[1])), sep='\\n')"
    command = [sys.executable, "-c", code, str(tmp_path / "closed" / "file")]
    said = subprocess.run(
        command, preexec_fn=drop_rights, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    (tmp_path / "closed").chmod(0o700)
    assert len(said) == 6
    assert all("Permission denied" in line and "Ask whoever owns it" in line for line in said)
    paths.refuse_closed(tmp_path / "closed" / "nowhere", DataError)


def test_a_working_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for ask in (paths.absolute_path, paths.real_path):
        with pytest.raises(TbpsError, match="the current folder is gone"):
            ask(Path("a"))
    assert ask_everything(Path("a"))


def test_what_is_read_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"1,099,511,627,776 bytes, and at most 100 are read\. Split it\."):
        paths.read_whole(tmp_path / "large", DataError, "Split it.", most=100)
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(DataError, match="UTF-8"):
        paths.read_text(tmp_path / "latin", DataError)
