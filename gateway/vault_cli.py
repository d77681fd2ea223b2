"""``heddle vault``: what seals the stored secrets, whether all of them open, and new keys for them."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress

from gateway.settings import BadSettings, load_settings
from kit.db import Database
from vault.key_file import LOOK_EVERY_S, KeyFile
from vault.keyring import BadKeyRing, KeyProvider
from vault.rotation import Unopened, check_all, count_besides, count_by_version
from vault.rotation import rotate as rotate_all

T = TypeVar("T")

SETTLE_S = 3 * LOOK_EVERY_S
"""After so long, every process that seals something does it with the newest key of a changed file."""

vault_commands = typer.Typer(help="Look after the sealed secrets and their keys.", no_args_is_help=True)
out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

SettingsFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The settings file.", show_default="heddle.toml, if it exists"),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Where the database and the vault key live.", show_default=".heddle"),
]
Work = Callable[[Database, KeyProvider], Awaitable[T]]


@vault_commands.command()
def status(config: SettingsFile = None, data_dir: DataDir = None) -> None:
    """Show the keys, newest first, and how many secrets each one seals. Shows no key and no secret."""

    async def show(db: Database, keys: KeyProvider) -> int:
        counts = await count_by_version(db)
        ring = keys.reloaded()
        source = str(keys.path) if isinstance(keys, KeyFile) else "HEDDLE_VAULT_KEYS"
        out.print(f"keys from {source}, newest first:")
        for version in ring.versions:
            told = " (seals what is new)" if version == ring.newest else ""
            out.print(f"  {version}: {counts.get(version, 0)} secrets{told}")
        unknown = {version: count for version, count in counts.items() if ring.key(version) is None}
        for version, count in sorted(unknown.items()):
            out.print(f"  [red]{version}: {count} secrets, and the key is missing[/]")
        return len(unknown)

    if _run(config, data_dir, show):
        raise typer.Exit(1)


@vault_commands.command()
def check(config: SettingsFile = None, data_dir: DataDir = None) -> None:
    """Open every secret, in memory only; exit status 1 if one does not open."""

    async def look(db: Database, keys: KeyProvider) -> list[Unopened]:
        with Progress(console=err, transient=True) as progress:
            task = progress.add_task("opening", total=await count_besides(db))
            return await check_all(db, keys, each=partial(progress.advance, task))

    faults = _run(config, data_dir, look)
    _tell(faults)
    if faults:
        raise typer.Exit(1)
    out.print("[green]every secret opens[/]")


@vault_commands.command()
def rotate(
    new_key: Annotated[
        bool,
        typer.Option(
            help="Make a new key first (with a key file). Without, seal under the newest that there is."
        ),
    ] = True,
    config: SettingsFile = None,
    data_dir: DataDir = None,
) -> None:
    """Make a new key and seal everything anew under it, while other processes go on working."""

    async def run(db: Database, keys: KeyProvider) -> list[Unopened]:
        in_file = isinstance(keys, KeyFile)
        if new_key and isinstance(keys, KeyFile):
            out.print(f"the new key is {keys.add_key()}")
        newest = keys.current().newest
        with Progress(console=err, transient=True) as progress:
            task = progress.add_task(f"sealing under {newest}", total=await count_besides(db, newest))
            told = partial(progress.advance, task)
            rotated = await rotate_all(db, keys, settle_s=SETTLE_S if in_file else 0, each=told)
        out.print(f"{rotated.done} secrets are sealed anew under {newest}; {rotated.left} are not")
        if not in_file:
            out.print("processes whose HEDDLE_VAULT_KEYS has another key first go on sealing with that one")
        return rotated.faults

    faults = _run(config, data_dir, run)
    _tell(faults)
    if faults:
        raise typer.Exit(1)


@vault_commands.command("drop-key")
def drop_key(
    version: Annotated[str, typer.Argument(help="The version of the key that is needed no more.")],
    config: SettingsFile = None,
    data_dir: DataDir = None,
) -> None:
    """Take a key out of the key file, if it seals nothing any more."""

    async def drop(db: Database, keys: KeyProvider) -> None:
        if not isinstance(keys, KeyFile):
            raise BadSettings("the keys are in HEDDLE_VAULT_KEYS: take the old one out there")
        count = (await count_by_version(db)).get(version, 0)
        if count:
            raise BadSettings(f"{version} still seals {count} secrets; run heddle vault rotate first")
        keys.drop_key(version)

    _run(config, data_dir, drop)
    out.print(f"{version} is gone from the key file")


def _run(config: Path | None, data_dir: Path | None, work: Work[T]) -> T:
    """Raises BadSettings."""
    settings = load_settings(config, {} if data_dir is None else {"data_dir": data_dir})
    from gateway.vault_keys import load_keys

    async def run() -> T:
        db = Database(settings.resolved_database_url)
        try:
            keys = load_keys(settings, secrets_exist=True)
            return await work(db, keys)
        except BadKeyRing as error:
            raise BadSettings(str(error)) from None
        finally:
            await db.close()

    return asyncio.run(run())


def _tell(faults: list[Unopened]) -> None:
    for fault in faults:
        out.print(
            f"[red]{fault.secret_id} ({fault.purpose} of account {fault.account_id}): {fault.problem}[/]"
        )
