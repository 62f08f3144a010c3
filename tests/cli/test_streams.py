"""What is shown, where it can be shown, and how Ctrl-C ends: in processes as users start them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbps_cli.cli import show
from tbps_cli.cli.printable import printable, printable_line
from tests.doubles.command import run_tbps
from tests.doubles.tiny import TinyRun

PROGRAM = [sys.executable, "-m", "tbps_cli"]
POSIX = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
STRANGE = ["\x9b", "\u202e", "\x7f", "\x00", "\udcff", "\u2028", "\ue000", "\U000e0001", "é", "人", "😀", '"', "\\"]
texts = st.text(st.sampled_from("abx09u\\\n\t\x1b\x9b\u202e人\udcff")) | st.text()


def run(*arguments: object, **more: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **more.pop("environment", {})}
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, env=environment, timeout=120, **more)


@given(texts, texts)
def test_different_names_look_different_and_nothing_in_them_is_obeyed(one: str, other: str) -> None:
    shown = printable_line(one)
    assert shown.isprintable()
    assert (shown == printable_line(other)) == (one == other)
    assert printable(shown) == shown


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "cp437", "ascii"])
def test_json_escapes_what_cannot_be_shown_and_is_read_as_it_was(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"names": STRANGE, "all": "".join(STRANGE), "nothing": [float("nan"), float("inf"), (1.5,)]}
    with (tmp_path / "out").open("w", encoding=encoding, newline="") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        show.print_json(told)
    text = (tmp_path / "out").read_text(encoding=encoding)
    assert json.loads(text) == {**told, "nothing": [None, None, [1.5]]}
    assert all(character.isprintable() or character == "\n" for character in text)
    assert ("人" in text) == (encoding == "utf-8")


def test_a_pipe_gets_whole_names(tiny: TinyRun, tmp_path: Path) -> None:
    name = "camera_7_entrance_" * 13 + ".jpg"
    (tmp_path / "long").mkdir()
    shutil.copy(next(tiny.root.rglob("*.jpg")), tmp_path / "long" / name)
    run_tbps("embed", "--checkpoint", tiny.run, "--images", tmp_path / "long", "--out", tmp_path / "g.h5")
    assert name in run_tbps("search", "woman in red coat", "--gallery", tmp_path / "g.h5").stdout


def test_a_pipe_whose_reader_is_gone_needs_no_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run([*PROGRAM, "data", "list"], stdout=writing, stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["search", "--help"], ["data", "list", "--json"]])
def test_a_full_disk_is_said_once(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.count(b"\n") == 1
    assert ended.stderr.startswith(b"Error: standard output cannot be written (No space left on device)")


def test_all_streams_may_be_closed(tmp_path: Path) -> None:
    command = f'"$0" -m tbps_cli recipes toy "{tmp_path}/mine.yaml" <&- >&- 2>&-'
    assert subprocess.run(["/bin/sh", "-c", command, sys.executable], timeout=60).returncode == 1
    assert (tmp_path / "mine.yaml").read_bytes().startswith(b"# ")
    assert b"mine.yaml" not in (tmp_path / "mine.yaml").read_bytes()


def test_wrong_usage_stays_wrong_usage_where_it_cannot_be_said() -> None:
    with open("/dev/full", "wb") as full:
        assert subprocess.run([*PROGRAM, "serach"], stderr=full, timeout=60).returncode == 2


def test_names_of_any_language_are_found_in_a_locale_that_has_none(tiny: TinyRun, tmp_path: Path) -> None:
    images = tmp_path / "abroad"
    images.mkdir()
    for number, (name, image) in enumerate(zip(["señora.jpg", "人物.jpg"], tiny.root.rglob("*.jpg"), strict=False)):
        shutil.copy(image, images / name)
        assert number < 2
    gallery, page = tmp_path / "galería.h5", tmp_path / "página.html"
    run_tbps("embed", "--checkpoint", tiny.run, "--images", images, "--out", gallery)
    ended = run("search", "woman in red coat", "--gallery", gallery, "--html", page, environment=POSIX)
    assert ended.returncode == 0, ended.stderr
    assert b"\\u4eba\\u7269.jpg" in ended.stdout
    assert b"se\\xf1ora.jpg" in ended.stdout
    assert ended.stdout.isascii()
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 2


def test_torch_is_not_needed_to_see_that_the_folder_is_gone(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    command = f'cd "{tmp_path}/gone" && rmdir "{tmp_path}/gone" && "$0" -X importtime -m tbps_cli data list'
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(["/bin/sh", "-c", command, sys.executable], capture_output=True, env=environment, timeout=60)
    assert ended.returncode == 1
    said = [line for line in ended.stderr.decode().splitlines() if not line.startswith("import time:")]
    assert said == ["Error: the current folder is gone: change to one that exists."]
    assert b"torch" not in ended.stderr


GOES_ON = [
    ("tbps_cli.stages.train.train.train", ["train", "toy", "--out", "{out}"], "--resume"),
    ("tbps_cli.stages.fit.fit.fit", ["fit", "fit/toy", "--out", "{out}"], "--resume"),
    ("tbps_cli.stages.generate.generate.generate", ["generate", "--dataset", "toy", "--out", "{out}"], "goes on"),
    ("tbps_cli.stages.demo.demo", ["demo", "--out", "{out}"], "goes on"),
    (
        "tbps_cli.stages.embed.bulk.embed_crops",
        ["embed", "--checkpoint=x", "--images=x", "--out", "{out}"],
        "goes",
    ),
    ("tbps_cli.stages.gallery.push.push_gallery", ["gallery", "push", "g.h5", "--to", "{out}"], "sends the rest"),
    ("tbps_cli.stages.gallery.health.show_gallery", ["gallery", "show", "{out}"], "begins anew"),
]


@pytest.mark.parametrize(("stage", "arguments", "said"), GOES_ON)
def test_ctrl_c_says_in_one_line_how_to_go_on(
    stage: str, arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, stop)
    stopped = run_tbps(*(word.format(out=tmp_path / "out") for word in arguments))
    assert (stopped.exit_code, stopped.stdout) == (130, "")
    assert stopped.stderr.startswith("Stopped by Ctrl-C: ")
    assert said in stopped.stderr
    assert stopped.stderr.count("\n") == 1


def test_ctrl_c_of_a_whole_process_group_shows_no_traceback(tmp_path: Path) -> None:
    command = [*PROGRAM, "data", "toy", "--root", str(tmp_path)]
    # What runs in the background may begin with Ctrl-C ignored.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=heed
    )
    while not list(tmp_path.glob(".*.partial/imgs")):  # its workers are starting now
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.startswith(b"Stopped by Ctrl-C: ")
    assert said.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []
