"""`tbps doctor`."""

from __future__ import annotations

import click

from tbps_cli.cli import options


@click.command()
@options.as_json
def command(as_json: bool) -> None:
    """Show versions, devices and known traps, each with its cure.

    \b
    Example:
      tbps doctor
    """
    from tbps_cli.cli import show
    from tbps_cli.stages.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        show.print_json(diagnosis.as_dict())
        return
    rows = [["Python", diagnosis.python], ["system", diagnosis.system]]
    rows += [[name, text] for name, text in {**diagnosis.devices, **diagnosis.packages}.items()]
    show.print_table(["", ""], rows)
    for trap in diagnosis.traps:
        click.echo(f"\ntrap: {trap}")
    if not diagnosis.traps:
        click.echo("\nno trap found")
