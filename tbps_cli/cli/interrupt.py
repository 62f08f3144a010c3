"""Ctrl-C: one line that says how to go on, and an exit code of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from tbps_cli.cli.printable import printable_line

STOPPED = 130  # the exit code of Ctrl-C; 0 done, 1 an error or something named is missing, 2 usage


class Stopped(click.ClickException):
    """Ends the program after Ctrl-C; the message says how to go on."""

    exit_code = STOPPED

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(printable_line(f"Stopped by Ctrl-C: {self.message}"), file=file, err=True)


@contextmanager
def goes_on(how: str) -> Iterator[None]:
    """Say after Ctrl-C how to go on with what the block does."""
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(how) from None
