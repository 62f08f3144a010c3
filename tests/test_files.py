"""Files that are whole or absent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tbps_cli.errors import OutputError
from tbps_cli.files import write_whole


def test_the_file_holds_the_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    out = write_whole(b"content", tmp_path / "out.html", overwrite=False)
    assert out.read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["out.html"]


def test_the_file_may_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    out = write_whole(b"", tmp_path / "out", overwrite=False)
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failed_write_names_the_place_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, broken: str
) -> None:
    out = tmp_path / "out.html"
    out.write_text("old")

    def fail(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OutputError) as caught:
        write_whole(b"new", out, overwrite=True)
    assert str(out) in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert "choose another place" in str(caught.value)
    assert os.listdir(tmp_path) == ["out.html"]
    assert out.read_text() == "old"


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(b"new", tmp_path / "out", overwrite=False)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_permission_is_an_error_of_the_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            write_whole(b"", tmp_path / "out", overwrite=False)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_device_is_never_replaced() -> None:
    with pytest.raises(OutputError, match="not a regular file"):
        write_whole(b"", Path("/dev/full"), overwrite=True)


def test_an_absent_folder_and_a_file_for_a_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("absent", "file"):
        with pytest.raises(OutputError, match=folder):
            write_whole(b"", tmp_path / folder / "out", overwrite=False)


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not a regular file"):
        write_whole(b"", tmp_path, overwrite=True)
