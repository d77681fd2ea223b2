"""``heddle catalog``: whether the vendor files can be used."""

from pathlib import Path
from typing import Annotated

import typer

from connectors.catalog import SHIPPED, BadCatalogEntry, check_folders
from gateway.settings import BadSettings, load_settings

catalog_commands = typer.Typer(help="Check the vendor catalogue.", no_args_is_help=True)


@catalog_commands.callback()
def _group() -> None:
    """Keep ``check`` a command of its own while it is the only one."""


@catalog_commands.command("check")
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A folder of your own vendor files.", show_default="HEDDLE_CATALOG_DIR, if set"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The settings file.", show_default="heddle.toml, if it exists"),
    ] = None,
) -> None:
    """Check the shipped vendor files and your own; exit status 1 if anything is wrong."""
    own = folder if folder is not None else load_settings(config, {}).catalog_dir
    try:
        sound, problems = check_folders([SHIPPED] if own is None else [SHIPPED, own])
    except BadCatalogEntry as error:
        raise BadSettings(str(error)) from None
    for problem in problems:
        typer.echo(str(problem))
    if problems:
        files = len({problem.path for problem in problems})
        typer.echo(f"{sound} vendors are sound, {files} files have {len(problems)} problems", err=True)
        raise typer.Exit(1)
    typer.echo(f"{sound} vendors, all sound")
