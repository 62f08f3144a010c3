"""The README tells the truth: its commands exist, its options too, and so does what it points to."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from tbps_cli.cli.main import COMMANDS, tbps
from tests.doubles.command import run_tbps

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:bash|console|sh)\n(.*?)```", README, flags=re.DOTALL)
LINES = [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip().startswith("tbps ")]


def test_there_are_commands_to_check() -> None:
    assert len(LINES) >= 8


@pytest.mark.parametrize("line", LINES)
def test_every_command_of_the_readme_parses(line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    if name.startswith("-"):
        assert run_tbps(name).exit_code == 0
        return
    command = tbps.get_command(click.Context(tbps), name)
    assert command is not None, name
    arguments = [argument for argument in arguments if argument != "…"]
    command.make_context(name, arguments, resilient_parsing=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name: str) -> None:
    assert f"`tbps {name}" in README or any(line.startswith(f"tbps {name}") for line in LINES)


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_two_commands_of_a_stranger_stand_first() -> None:
    assert "pip install -e . && tbps demo" in README
    assert "pip install -e '.[test]' && pytest" in README


def test_nothing_is_left_to_be_filled_in() -> None:
    assert not re.findall(r"@[A-Z]+@|\bTODO\b|\bTBD\b", README)


def test_the_changelog_names_this_version() -> None:
    from tbps_cli import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
