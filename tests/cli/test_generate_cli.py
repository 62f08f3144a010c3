"""`tbps generate`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tbps_cli.stages.generate import generate as stage
from tests.doubles.command import fail_tbps, run_tbps
from tests.doubles.painted_people import Painter, write_people
from tests.doubles.tiny import TinyRun


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device: Painter())
    monkeypatch.chdir(tmp_path)
    return write_people(tmp_path / "data", train=3)


LENIENT = [
    word for limit in ("shape=-1", "outside=20", "blurrier=0.01", "sharper=99", "compression=9")
    for word in ("--set", f"judge.{limit}")
]  # fmt: skip


def test_a_data_set_is_all_that_must_be_named(tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TBPS_DATA", str(tiny.root))
    result = run_tbps("generate", "--dataset", "toy-tiny", "--limit", 8)
    assert result.exit_code == 0, result.stderr
    out = tmp_path / "generated/toy-tiny"
    kept = len((out / "records.jsonl").read_text().splitlines())
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["edits", "planned", "8"] in lines
    assert ["pairs", "kept", str(kept)] in lines
    assert "Look at generated/toy-tiny/index.html" in result.stdout
    assert "tbps train … --set proximity.pairs=generated/toy-tiny" in result.stdout
    again = run_tbps("generate", "--dataset", "toy-tiny", "--limit", 8)
    assert "was finished before; nothing was made" in again.stderr
    assert again.stdout == result.stdout


def test_json_is_all_that_is_printed(people: Path) -> None:
    result = run_tbps("generate", "--dataset", people, "--json", *LENIENT)
    told = json.loads(result.stdout)
    assert told["out"] == "generated/people"
    assert told["planned"] == 6
    planned = json.loads(run_tbps("generate", "--dataset", people, "--plan", "p.jsonl", "--json").stdout)
    assert planned == {"plan": "p.jsonl", "edits": 6, "images": 6, "skipped": {}}


@pytest.mark.parametrize("shown", [(), ("--json",)])
def test_where_nothing_is_kept_that_is_no_success(people: Path, shown: tuple[str, ...]) -> None:
    result = run_tbps("generate", "--dataset", people, *LENIENT, "--set", "judge.outside=1000", *shown)
    assert result.exit_code == 1
    assert "nothing was kept" in result.stderr
    assert "Next:" not in result.stdout
    assert (json.loads(result.stdout)["kept"] == 0) if shown else re.search(r"kept\W+0\b", result.stdout)


def test_what_a_plan_was_made_with_is_in_the_command_that_carries_it_out(people: Path) -> None:
    result = run_tbps("generate", "--dataset", people, "--plan", "my plan.jsonl", "--set", "plan.colours=rare")
    assert "--from-plan 'my plan.jsonl' --recipe generate/recolour --set plan.colours=rare" in result.stdout


def test_a_plan_is_written_and_the_command_that_carries_it_out_is_named(people: Path) -> None:
    result = run_tbps("generate", "--dataset", people, "--plan", "plan.jsonl")
    assert result.exit_code == 0, result.stderr
    assert len(Path("plan.jsonl").read_text().splitlines()) == 7
    command = next(line for line in result.stdout.splitlines() if "--from-plan" in line)
    assert run_tbps(*command.split()[1:], *LENIENT).exit_code == 0
    assert Path("generated/people/plan.jsonl").read_text() == Path("plan.jsonl").read_text()
    assert "exists" in fail_tbps("generate", "--dataset", people, "--plan", "plan.jsonl")
    assert run_tbps("generate", "--dataset", people, "--plan", "plan.jsonl", "--overwrite").exit_code == 0


def test_a_recipe_is_changed_by_set_and_a_changed_one_does_not_mix(people: Path) -> None:
    assert run_tbps("generate", "--dataset", people, "--out", "o", *LENIENT).exit_code == 0
    message = fail_tbps("generate", "--dataset", people, "--out", "o", *LENIENT, "--set", "plan.per_image=2")
    assert "was begun with another recipe, another plan" in message
    message = fail_tbps("generate", "--dataset", people, "--set", "plan.perimage=2")
    assert "did you mean 'per_image'?" in message
    assert "a recipe of `tbps train`" in fail_tbps("generate", "--dataset", people, "--recipe", "toy")
    assert "did you mean" in fail_tbps("generate", "--dataset", people, "--recipe", "generate/recolor")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--dataset", "toy", "--plan", "p", "--from-plan", "q"],
        ["--dataset", "toy", "--plan", "p", "--out", "q"],
        ["--dataset", "toy", "--plan", "p", "--checkpoint", "q"],
        ["--dataset", "toy", "--limit", "0"],
    ],
)
def test_wrong_usage_of_generate_exits_with_2(arguments: list[str]) -> None:
    assert run_tbps("generate", *arguments).exit_code == 2


def test_stopped_by_hand_it_says_how_to_go_on(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Painter, "generate", stop)
    result = run_tbps("generate", "--dataset", people)
    assert result.exit_code == 130
    assert "what is finished is in generated/people. The same command without --overwrite goes on." in result.stderr
    monkeypatch.undo()
    monkeypatch.setattr(stage, "build_editor", lambda section, lexicon, device: Painter())
    monkeypatch.chdir(people.parents[1])
    assert run_tbps("generate", "--dataset", people).exit_code == 0


def test_data_that_is_absent_is_said() -> None:
    assert "absent.jsonl" in fail_tbps("generate", "--dataset", "absent.jsonl")
