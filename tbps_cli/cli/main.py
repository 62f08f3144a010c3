"""`tbps`: the group of all commands, each imported when it is called."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from tbps_cli import __version__
from tbps_cli.cli.interrupt import STOPPED, goes_on
from tbps_cli.cli.printable import printable
from tbps_cli.cli.streams import Streams, start_again_in_utf8
from tbps_cli.errors import TbpsError

# Name, module and one-line help: what `tbps --help` shows without importing a command.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Draw, train, embed, evaluate, search: see it work."),
    "generate": ("generate", "Make new training pairs, one garment away."),
    "fit": ("fit", "Teach a diffusion pipeline the people to edit."),
    "train": ("train", "Train a dual encoder from a recipe."),
    "embed": ("embed", "Turn images into a gallery of features."),
    "evaluate": ("evaluate", "Measure rank-k, mAP and mINP."),
    "data": ("data", "Check, look at, compare and convert data sets."),
    "search": ("search", "Find people in galleries by a sentence."),
    "gallery": ("gallery", "Check, merge, split, index and export galleries."),
    "checkpoint": ("checkpoint", "Look at a trained model, or hand it on."),
    "recipes": ("recipes", "List the recipes that ship with tbps, or copy one."),
    "doctor": ("doctor", "Show versions, devices and known traps."),
}


class LazyGroup(click.Group):
    """Imports a command when it is called, and shows a user's error as one message."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **more: Any) -> NoReturn:
        """Run the command and exit; without arguments it is the program that was started."""
        if args is None:
            start_again_in_utf8()
        with Streams() as streams:
            try:
                super().main(args, *others, **more)
            except SystemExit as end:
                code = streams.end(int(end.code or 0))
        if args is None and code == STOPPED:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # another Ctrl-C does not wait for threads that are ending
        sys.exit(code)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"tbps_cli.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            os.getcwd()
        except FileNotFoundError:
            raise click.ClickException("the current folder is gone: change to one that exists.") from None
        with goes_on("nothing is left half-written, and the same command begins anew."):
            try:
                return super().invoke(ctx)
            except TbpsError as error:
                raise click.ClickException(printable(str(error))) from None
            except click.ClickException as error:
                error.message = printable(error.message)  # type: ignore[misc]
                raise


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tbps")
def tbps() -> None:
    """Text-based person search: describe someone, find them in a gallery of images.

    \b
    Begin with:
      tbps demo
      tbps search "woman in red coat" --gallery tbps-demo/g.h5
    """
