"""The command line as a stranger meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from tbps_cli import __version__
from tbps_cli.cli.main import COMMANDS, tbps
from tests.doubles.command import fail_tbps, run_tbps

HEAVY = ("torch", "h5py", "rich", "pydantic", "yaml", "PIL", "numpy", "diffusers", "open_clip")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        f"sys.argv = ['tbps', *{arguments!r}]\n"
        "from tbps_cli.cli.main import tbps\n"
        "try: tbps()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    result = run_tbps(name, "--help")
    assert result.exit_code == 0
    assert f"  tbps {name}" in result.stdout.partition("Example")[2]
    command = tbps.get_command(click.Context(tbps), name)
    for below in command.commands if isinstance(command, click.Group) else ():
        assert f"  tbps {name} {below}" in run_tbps(name, below, "--help").stdout.partition("Example")[2]


def test_the_installed_program_says_its_version() -> None:
    program = Path(sys.executable).with_name("tbps")
    result = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == f"tbps, version {__version__}"


def test_a_message_never_carries_codes_that_a_terminal_obeys() -> None:
    message = fail_tbps("search", "woman", "--gallery", "absent\x1b[31m.h5")
    assert "absent\\x1b[31m.h5" in message
    assert "\x1b" not in message


def test_an_unknown_command_is_a_usage_error() -> None:
    result = run_tbps("serach")
    assert result.exit_code == 2
    assert "No such command 'serach'" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "woman"],
        ["embed", "--checkpoint", "x", "--out", "y"],
        ["embed", "--checkpoint", "x", "--out", "y", "--images", "a", "--dataset", "toy"],
        ["evaluate"],
        ["evaluate", "g.h5", "--checkpoint", "x", "--dataset", "toy"],
        ["evaluate", "--checkpoint", "x"],
        ["evaluate", "g.h5", "--split", "val"],
        ["embed", "--checkpoint", "x", "--out", "y", "--images", "a", "--split", "val"],
        ["embed", "--checkpoint", "x", "--out", "y", "--dataset", "toy", "--strict"],
        ["embed", "--checkpoint", "x", "--out", "y", "--dataset", "toy", "--batch", "64"],
        ["search", "woman", "--gallery", "g.h5", "-k", "0"],
        ["train", "toy", "--resume", "--overwrite"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert run_tbps(*arguments).exit_code == 2


def test_the_recipes_are_listed_and_copied(tmp_path: Path) -> None:
    assert "toy" in run_tbps("recipes").stdout
    result = run_tbps("recipes", "toy", tmp_path / "mine.yaml")
    assert result.stdout.strip() == str(tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text().startswith("# ")


def test_the_doctor_knows_this_machine() -> None:
    result = run_tbps("doctor")
    assert result.exit_code == 0
    for said in ("torch", "pillow", "cpu", "Python"):
        assert said in result.stdout


def test_the_doctor_finds_a_torchvision_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    from tbps_cli.stages.doctor import diagnose

    (trap,) = [trap for trap in diagnose().traps if "torchvision" in trap]
    assert "from the same source" in trap


def test_ctrl_c_ends_with_130_and_one_line(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom tbps_cli.stages import doctor\nfrom tbps_cli.cli.main import tbps\n"
        "def stop(*_, **__):\n    raise KeyboardInterrupt\n"
        "doctor.diagnose = stop\n"
        "tbps(['doctor'])\n"
    )
    stopped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert stopped.returncode == 130
    assert stopped.stderr.count("\n") == 1
    assert stopped.stderr.startswith("Stopped by Ctrl-C: ")
    assert "the same command" in stopped.stderr
    assert stopped.stdout == ""
