"""`tbps …` in this process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from tbps_cli.cli.main import tbps


def run_tbps(*arguments: object) -> Result:
    """`tbps …` in this process."""
    return CliRunner().invoke(tbps, [str(argument) for argument in arguments], catch_exceptions=False)


def fail_tbps(*arguments: object) -> str:
    """`tbps …` that must end with a message for the user: exit code 1, nothing on stdout."""
    result = run_tbps(*arguments)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr
    return result.stderr
