"""The ``heddle`` command."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlmodel import Session, col, select

from gateway.catalog_cli import catalog_commands
from gateway.settings import BadSettings, Settings, load_settings
from gateway.vault_cli import vault_commands
from kit.db import BadDatabaseUrl, Database, parse_database_url, sync_engine
from kit.money import nanos_from_usd, parse_usd, usd_text

if TYPE_CHECKING:
    from gateway.accounts.models import Account

T = TypeVar("T")

app = typer.Typer(
    name="heddle",
    help="Heddle: a threads engine and MCP tool broker behind a billed inference gateway.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ledger_commands = typer.Typer(help="Check the ledger.", no_args_is_help=True)
credit_commands = typer.Typer(help="Give credit to an account.", no_args_is_help=True)
account_commands = typer.Typer(help="Set what holds for one account.", no_args_is_help=True)
app.add_typer(ledger_commands, name="ledger")
app.add_typer(credit_commands, name="credits")
app.add_typer(account_commands, name="account")
app.add_typer(vault_commands, name="vault")
app.add_typer(catalog_commands, name="catalog")

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


def main() -> None:
    """Run the command line; errors of settings and environment end as one line and status 2."""
    try:
        app()
    except (BadSettings, BadDatabaseUrl) as error:
        _complain("heddle", str(error))
        sys.exit(2)
    except DatabaseError as error:
        if not isinstance(error, OperationalError) and "not a database" not in str(error.orig):
            raise  # a fault of ours
        _complain("heddle", f"cannot use the database: {str(error.orig).strip().splitlines()[0]}")
        sys.exit(2)


def _complain(who: str, what: str) -> None:
    """One line on standard error. What users wrote may look like markup and is not."""
    err.print(f"[bold red]{who}:[/] {escape(what)}")


def _show_version(wanted: bool) -> None:
    if wanted:
        out.print(f"heddle {version('heddle')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Heddle: a threads engine and MCP tool broker behind a billed inference gateway."""


@app.command()
def serve(
    config: SettingsFile = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port.", show_default="8787")] = None,
    data_dir: DataDir = None,
) -> None:
    """Serve the API. The first start makes the database, an account and its admin key (shown once)."""
    settings = load_settings(config, _given(host=host, port=port, data_dir=data_dir))
    from gateway.serve import Serving, run_serve  # a second or two: a bad setting is told before

    def ready(serving: Serving) -> None:
        out.print(f"\n[bold]Heddle[/] listens on [bold]{serving.url}[/]")
        if settings.public_url:
            out.print(f"public address: {escape(settings.public_url)}")
        providers = ", ".join(serving.providers)
        out.print(f"providers: {providers or 'none: set a key such as ANTHROPIC_API_KEY'}")
        if serving.new_admin_key is not None:
            out.print("\nYour admin key (shown only this once):")
            out.print(f"  [bold]{serving.new_admin_key}[/]\n")

    run_serve(settings, on_ready=ready)


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, envvar="HEDDLE_PORT", help="The port.")] = 8787,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where to keep its data.", show_default="a new temporary folder")
    ] = None,
    stay: Annotated[bool, typer.Option(help="Leave the servers running at the end.")] = True,
) -> None:
    """Play one conversation from end to end: key, thread, consent, tool call, answer, ledger."""
    from gateway.demo.story import DemoFailed, run_demo

    try:
        run_demo(port=port, data_dir=data_dir, stay=stay)
    except DemoFailed as failure:
        _complain("heddle demo", str(failure))
        raise typer.Exit(1) from None


@app.command()
def migrate(config: SettingsFile = None, data_dir: DataDir = None) -> None:
    """Bring the database to the newest schema (serve does this by itself)."""
    from gateway.data_dir import prepare_data_dir
    from gateway.migrations import migrate as run_migrations

    settings = load_settings(config, _given(data_dir=data_dir))
    prepare_data_dir(settings)
    run_migrations(parse_database_url(settings.resolved_database_url))
    out.print("the database is up to date")


@ledger_commands.command("verify")
def ledger_verify(config: SettingsFile = None, data_dir: DataDir = None) -> None:
    """Recompute every account's hash chain and balance; exit status 1 if anything contradicts."""
    from gateway.billing.ledger import verify_account
    from gateway.billing.models import Wallet

    def verify(session: Session) -> int:
        accounts = session.exec(select(Wallet).order_by(col(Wallet.account_id))).all()
        faults = 0
        for wallet in track(accounts, "verifying", console=err, transient=True):
            for fault in verify_account(session, wallet.account_id):
                faults += 1
                out.print(f"[red]{fault.account_id} entry {fault.seq}: {fault.problem}[/]")
            out.print(f"{wallet.account_id}: balance {usd_text(wallet.balance_nanos)} USD")
        return faults

    faults = _read(load_settings(config, _given(data_dir=data_dir)), verify)
    if faults:
        raise typer.Exit(1)
    out.print("[green]the ledger is sound[/]")


@credit_commands.command("grant")
def credits_grant(
    amount: Annotated[str, typer.Argument(help="USD, e.g. 25 or 2.50")],
    reference: Annotated[str, typer.Option(help="What it is for; shown in the ledger.")] = "operator credit",
    account: Annotated[str | None, typer.Option(help="The account.", show_default="the first one")] = None,
    config: SettingsFile = None,
    data_dir: DataDir = None,
) -> None:
    """Add credit to an account's wallet."""
    try:
        usd = parse_usd(amount)
        if not Decimal(0) < usd <= 1_000_000:
            raise ValueError(f"{amount} is not between 0 and 1,000,000 USD")
    except ValueError as error:
        raise BadSettings(f"AMOUNT: {error}") from None
    settings = load_settings(config, _given(data_dir=data_dir))
    balance = asyncio.run(_grant(settings, account, usd, reference))
    out.print(f"granted {usd_text(nanos_from_usd(usd))} USD; the balance is {usd_text(balance)} USD")


@account_commands.command("markup")
def account_markup(
    markup: Annotated[str, typer.Argument(help="A fraction such as 0.05, or usual for the installation's.")],
    account: Annotated[str | None, typer.Option(help="The account.", show_default="the first one")] = None,
    config: SettingsFile = None,
    data_dir: DataDir = None,
) -> None:
    """Set what is added to providers' prices for one account."""
    from gateway.accounts.terms import set_markup

    try:
        own = None if markup == "usual" else parse_usd(markup)
        if own is not None and not Decimal(0) <= own <= 10:
            raise ValueError(f"{markup} is not between 0 and 10")
    except ValueError as error:
        raise BadSettings(f"MARKUP: {error}") from None
    settings = load_settings(config, _given(data_dir=data_dir))
    name = asyncio.run(_with_account(settings, account, lambda db, row: set_markup(db, row.id, own)))
    told = f"{settings.markup} (the installation's)" if own is None else str(own)
    out.print(f"the markup of {name} is {told}")


async def _grant(settings: Settings, account: str | None, usd: Decimal, reference: str) -> int:
    from gateway.billing.billing import Billing
    from kit.clock import SystemClock
    from kit.ids import new_id

    async def grant(db: Database, row: "Account") -> int:
        billing = Billing(db, SystemClock())
        await billing.credit(
            row.id, nanos_from_usd(usd), kind="credit", entry_id=new_id("grant"), reference=reference
        )
        wallet = await billing.wallet(row.id)
        await billing.close()
        return wallet.balance_nanos

    return await _with_account(settings, account, grant)


async def _with_account(
    settings: Settings, account: str | None, work: "Callable[[Database, Account], Awaitable[T]]"
) -> T:
    """Do something with an account, the first one unless it is named. Raises BadSettings."""
    from gateway.accounts.models import Account

    db = Database(settings.resolved_database_url)
    try:
        async with db.session() as session:
            named = Account.id == account if account is not None else col(Account.test_of).is_(None)
            row = (await session.exec(select(Account).where(named).order_by(col(Account.created_at)))).first()
        if row is None:
            raise BadSettings(f"there is no account {account or 'yet: start heddle serve once'}")
        if row.test_of is not None:
            raise BadSettings(f"{row.id} is the test account of {row.test_of}: name that one")
        return await work(db, row)
    finally:
        await db.close()


def _read(settings: Settings, read: Callable[[Session], T]) -> T:
    engine = sync_engine(parse_database_url(settings.resolved_database_url), writing=False)
    try:
        with Session(engine) as session:
            return read(session)
    finally:
        engine.dispose()


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


if __name__ == "__main__":
    main()
