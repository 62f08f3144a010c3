"""Files and folders that are whole or absent, whoever is killed, and one writer for each."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tbps_cli import files
from tbps_cli.errors import DataError, OutputError
from tbps_cli.files import (
    hold,
    refuse_to_replace,
    replaced_place,
    restore_folder,
    scratch_file,
    scratch_folder,
    whole_file,
    whole_folder,
    write_whole,
)
from tbps_cli.paths import exists, is_file, is_folder, read_whole
from tbps_cli.recipe import find_recipe, load_fit_recipe, load_generation_recipe
from tbps_cli.stages.fit.fit import fit
from tbps_cli.stages.generate.generate import generate
from tbps_cli.stages.train.train import train
from tests.doubles.tiny import TinyRun, tiny_recipe

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from tbps_cli.errors import OutputError
from tbps_cli.files import *
place = Path(sys.argv[1])
def kill_at(number, names=("fsync", "replace", "rename")):
    left = [number]
    for name in names:
        def counted(*arguments, original=getattr(os, name), **keywords):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **keywords)
        setattr(os, name, counted)
"""
HOLD = "with hold(place):\n    print('ready', flush=True)\n    time.sleep(float(sys.argv[2]))"
WRITE = "with whole_file(place, overwrite=True) as file:\n    file.write(b'half')\n    file.flush()\n"
FILL = "with whole_folder(place, overwrite=True) as folder:\n    (folder / 'a').write_text('new')\n"
WAIT = "    print('ready', flush=True)\n    time.sleep(600)\n"


def run(code: str, place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PRELUDE + code, str(place), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def start(code: str, place: Path, *arguments: object) -> subprocess.Popen[str]:
    """A process that has come to where it says that it is ready."""
    command = [sys.executable, "-c", PRELUDE + code, str(place), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def fail_with(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_the_file_holds_the_content_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    out = write_whole(b"content", tmp_path / "out.html", overwrite=False)
    assert out.read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["out.html"]


def test_what_is_written_can_be_read_again_and_changed(tmp_path: Path) -> None:
    with whole_file(tmp_path / "out", overwrite=False) as file:
        file.write(b"abc")
        file.seek(0)
        assert file.read() == b"abc"
        file.seek(1)
        file.write(b"B")
    assert (tmp_path / "out").read_bytes() == b"aBc"


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
    monkeypatch.setattr(os, broken, fail_with(code))
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


def test_a_full_disk_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    code = (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    write_whole(bytes(100_000), place, overwrite=True)\nexcept OutputError as error:\n    print(error)"
    )
    ended = run(code, tmp_path / "out")
    assert "out: cannot be written (File too large). Free some space or choose another place." in ended.stdout
    assert not ended.stderr
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "old"


@pytest.mark.parametrize(
    "writer", ["write_whole(b'', place / 'out', overwrite=False)", FILL.replace("place", "place / 'out'")]
)
def test_a_folder_without_permission_is_an_error_of_the_user(tmp_path: Path, writer: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    tmp_path.chmod(0o755)
    closed.chmod(0o555)
    lowered = "if os.geteuid() == 0:\n    os.setuid(65534)\n"  # root writes everywhere
    indented = "".join(f"    {line}\n" for line in writer.splitlines())
    ended = run(f"{lowered}try:\n{indented}except OutputError as error:\n    print(error)", closed)
    closed.chmod(0o755)
    assert "cannot be written (Permission denied" in ended.stdout, ended.stderr


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


@pytest.mark.parametrize("name", ["a\0b", "n" * 256, "n" * 5000, "\ud800"])
def test_a_name_that_cannot_be_is_an_error_of_the_user(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    with pytest.raises(OutputError):
        write_whole(b"", place, overwrite=True)
    with pytest.raises(OutputError), whole_folder(place):
        pass
    with hold(place):  # left to who writes there
        pass
    with pytest.raises(DataError, match="Mend it"):
        read_whole(place, DataError, "Mend it.")
    assert not exists(place)
    assert not is_file(place)
    assert not is_folder(place)
    assert [path.name for path in tmp_path.iterdir() if path.name != name] == []


def test_what_cannot_be_looked_at_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert not exists(tmp_path / "loop")
    assert not is_file(tmp_path / "loop")
    assert is_folder(tmp_path)
    with pytest.raises(OutputError, match="not a regular file"):
        refuse_to_replace(tmp_path / "loop", overwrite=True)
    with pytest.raises(DataError, match=r"loop: cannot be read \(.*\)\. Mend it\."):
        read_whole(tmp_path / "loop", DataError, "Mend it.")
    with pytest.raises(DataError, match="a folder, and cannot be read"):
        read_whole(tmp_path, DataError, "Mend it.")
    assert read_whole(write_whole(b"x", tmp_path / "out", overwrite=False), DataError, "") == b"x"


@pytest.mark.parametrize("step", range(3))
def test_a_file_that_is_killed_between_two_steps_is_the_old_or_the_new_one(tmp_path: Path, step: int) -> None:
    out = tmp_path / "out"
    out.write_text("old")
    ended = run(f"kill_at({step})\nwrite_whole(b'new', place, overwrite=True)", out)
    assert ended.returncode == -signal.SIGKILL
    assert out.read_text() == ("new" if step == 2 else "old")
    assert set(os.listdir(tmp_path)) <= {"out", ".out.partial"}
    write_whole(b"newer", out, overwrite=True)
    assert out.read_text() == "newer"
    assert os.listdir(tmp_path) == ["out"]


def test_the_second_writer_of_a_file_is_refused_and_what_a_killed_one_left_is_taken_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(WRITE + WAIT, out)
    with pytest.raises(OutputError, match=r"out: another process is writing it\. Wait"):
        write_whole(b"mine", out, overwrite=True)
    kill(process)
    assert os.listdir(tmp_path) == [".out.partial"]
    (tmp_path / ".out.partial").write_bytes(b"what it had written" * 9999)
    write_whole(b"mine", out, overwrite=False)
    assert out.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["out"]


def test_a_second_thread_is_refused_too_and_the_first_is_not_disturbed(tmp_path: Path) -> None:
    with whole_file(tmp_path / "out", overwrite=True) as file:
        file.write(b"first")
        with pytest.raises(OutputError, match="another process"):
            write_whole(b"second", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_bytes() == b"first"


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    refused = []

    def write(number: int) -> None:
        try:
            write_whole(bytes([number]) * 50_000, tmp_path / "out", overwrite=True)
        except OutputError as error:
            refused.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set((tmp_path / "out").read_bytes())) == 1
    assert (tmp_path / "out").stat().st_size == 50_000
    assert os.listdir(tmp_path) == ["out"]
    assert len(refused) < 16


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".out.partial").symlink_to("precious")
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(b"new", tmp_path / "out", overwrite=False)
    assert (tmp_path / "precious").read_text() == "mine"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious").write_text("mine")
    (tmp_path / ".new.partial").symlink_to("folder")
    with pytest.raises(OutputError, match="cannot be written"), whole_folder(tmp_path / "new"):
        pass
    assert (tmp_path / "folder" / "precious").read_text() == "mine"


def test_where_nothing_can_be_locked_files_are_written_and_leftovers_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.fcntl, "flock", fail_with(errno.ENOLCK))
    write_whole(b"", tmp_path / "out", overwrite=False)
    with hold(tmp_path / "held"), hold(tmp_path / "held"), whole_folder(tmp_path / "folder") as folder:
        (folder / "a").write_text("")
    assert sorted(os.listdir(tmp_path)) == ["folder", "out"]
    (tmp_path / ".new.partial").write_text("theirs")
    with pytest.raises(OutputError, match=r"may be writing it.* remove .*\.new\.partial"):
        write_whole(b"", tmp_path / "new", overwrite=False)
    assert (tmp_path / ".new.partial").read_text() == "theirs"


def test_a_folder_appears_whole_with_its_parents_and_files_that_others_may_read(tmp_path: Path) -> None:
    out = tmp_path / "above" / "out"
    with whole_folder(out) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a").write_text("a")
        (folder / "deep" / "a").chmod(0o600)
        assert not out.exists()
    (tmp_path / "plain").write_text("")
    assert (out / "deep" / "a").read_text() == "a"
    assert (out / "deep" / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert os.listdir(out.parent) == ["out"]
    with pytest.raises(OutputError, match="exists"), whole_folder(out):
        pass
    assert (out / "deep" / "a").read_text() == "a"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.jpg"), KeyboardInterrupt()])
def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    out = tmp_path / "out"
    with whole_folder(out) as folder:
        (folder / "a").write_text("old")
    with pytest.raises((OutputError, KeyboardInterrupt)) as caught, whole_folder(out, overwrite=True) as folder:  # noqa: PT012
        (folder / "a").write_text("new")
        raise error
    if isinstance(error, OSError):
        assert f"{out}: cannot be written (No space left on device at a.jpg). Free some space" in str(caught.value)
    assert (out / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_where_the_new_folder_cannot_be_renamed_the_old_one_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if Path(source).name == ".out.partial":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OutputError, match="Input/output error"), whole_folder(out, overwrite=True):
        pass
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("step", range(6))
def test_a_folder_that_is_killed_between_two_steps_is_the_old_or_the_new_one(tmp_path: Path, step: int) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("old")
    ended = run(f"kill_at({step})\n{FILL}", out)  # sync a, sync the folder, rename the old, the new, sync the parent
    assert (ended.returncode == -signal.SIGKILL) == (step < 5), ended.stderr
    there = out if out.exists() else replaced_place(out)
    assert (there / "a").read_text() == ("new" if step > 3 else "old")
    assert out.exists() == (step != 3)
    restore_folder(out)
    assert (out / "a").read_text() == ("new" if step > 3 else "old")
    with whole_folder(out, overwrite=True) as folder:
        (folder / "b").write_text("newest")
    assert os.listdir(out) == ["b"]
    assert os.listdir(tmp_path) == ["out"]


def test_the_second_writer_of_a_folder_waits_and_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(FILL + WAIT, out)
    with pytest.raises(OutputError, match="another process is writing it"), whole_folder(out, patience=0.2):
        pass
    kill(process)
    assert os.listdir(tmp_path) == [".out.partial"]
    with whole_folder(out) as folder:
        assert list(folder.iterdir()) == []
    assert os.listdir(tmp_path) == ["out"]


def test_who_waited_for_a_folder_finds_it_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(FILL + "    print('ready', flush=True)\n    time.sleep(0.5)\n", out)
    with pytest.raises(OutputError, match="exists"), whole_folder(out, patience=60):
        pass
    assert process.wait() == 0
    assert (out / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_scratch_files_and_folders_vanish(tmp_path: Path) -> None:
    with scratch_file(tmp_path) as file:
        file.write(b"x")
        assert os.listdir(tmp_path) == []
    with scratch_folder() as folder:
        (folder / "a").write_text("a")
    assert not folder.exists()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Path]:
    process = start(HOLD, tmp_path / "out", 600)
    yield tmp_path / "out"
    kill(process)


def test_a_second_writer_is_refused(held: Path) -> None:
    with pytest.raises(OutputError, match="another process is writing it"), hold(held, patience=0.3):
        pass
    with pytest.raises(OutputError, match=r"^gallery\.h5: another"), hold(held, 0, shown=Path("gallery.h5")):
        pass


def test_whoever_is_killed_holds_nothing(tmp_path: Path) -> None:
    process = start(HOLD, tmp_path / "out", 600)
    process.kill()
    with hold(tmp_path / "out"):
        pass
    process.wait()


def test_one_waits_for_a_writer_that_ends_soon(tmp_path: Path) -> None:
    process = start(HOLD, tmp_path / "out", 0.5)
    with pytest.raises(OutputError), hold(tmp_path / "out", patience=0):
        pass
    with hold(tmp_path / "out", patience=60):
        assert process.wait() == 0
        assert (tmp_path / "out").is_dir()  # the first one removed it, as it was empty


def test_a_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with hold(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with hold(tmp_path / "old"):
        pass
    assert (tmp_path / "old").is_dir()


def test_what_is_no_folder_is_left_to_who_writes(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with hold(tmp_path / "file"), hold(tmp_path / "file" / "below"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_training_fitting_and_generating_hold_their_folders(
    held: Path, tiny: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tbps_cli.files.PATIENCE", 0.3)
    with pytest.raises(OutputError, match="another process"):
        train(tiny_recipe(), held, root=tiny.root, device="cpu")
    with pytest.raises(OutputError, match="another process"):
        fit(load_fit_recipe(find_recipe("fit/toy")), held, root=tiny.root, device="cpu")
    recipe = load_generation_recipe(find_recipe("generate/recolour"))
    with pytest.raises(OutputError, match="another process"):
        generate(recipe, "toy-tiny", held, root=tiny.root, limit=2, device="cpu")
    assert list(held.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 247, "n" * 255, "ä" * 127])
def test_a_name_as_long_as_the_disk_takes_is_written_and_a_killed_writer_taken_over(tmp_path: Path, name: str) -> None:
    for change in (WRITE, FILL):
        killed = run(f"{change}    os.kill(os.getpid(), signal.SIGKILL)", tmp_path / name)
        assert killed.returncode == -signal.SIGKILL
        assert len(os.listdir(tmp_path)) == 1
        (partial,) = tmp_path.iterdir()
        assert partial.match(".*.partial")
        if change is WRITE:
            write_whole(b"whole", tmp_path / name, overwrite=False)
        else:
            with whole_folder(tmp_path / name) as folder:
                assert not os.listdir(folder)
        assert os.listdir(tmp_path) == [name]
        files._remove(tmp_path / name)
