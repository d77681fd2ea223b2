"""The whole of Heddle, wired top to bottom."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from sqlmodel import select
from starlette.types import ASGIApp

from broker.broker import Broker
from broker.endpoints import EndpointLimits
from broker.mcp_stdio import StdioServer
from broker.result_policy import BadPolicy
from broker.result_review import ResultReview
from connectors.catalog import BadCatalogEntry, Catalog
from connectors.clients import CALLBACK_PATH, ConfiguredClient, OAuthClients
from connectors.connect import ConnectSessions
from connectors.connect_link import Declined
from connectors.connections import Connected, Connections
from connectors.credentials import Credentials
from connectors.device import DeviceFlows
from connectors.http import OAuthHttp
from connectors.registry import ConnectorRegistry
from connectors.session_purge import SessionPurge
from connectors.upkeep import ConnectionUpkeep
from gateway.accounts.bootstrap import Bootstrapped, bootstrap
from gateway.accounts.keys import ApiKeys
from gateway.accounts.terms import AccountTerms
from gateway.accounts.twins import Twins
from gateway.api import api_of, post_paths
from gateway.billing.billing import Billing
from gateway.billing.free_funds import FreeFunds
from gateway.billing.stripe.stripe_billing import StripeBilling
from gateway.billing.tool_meter import ToolMeter, ToolPrices
from gateway.body_limit import BodyLimit
from gateway.control_plane import control_plane
from gateway.cors import CrossOrigin
from gateway.front_door import FrontDoor
from gateway.hot_routes import inference_routes, responses_route
from gateway.idempotency.idempotency import Idempotency
from gateway.inference.count_tokens import COUNT_TOKENS_PATH
from gateway.inference.dialects.registry import RESPONSES_PATH
from gateway.inference.inference import Inference
from gateway.inference.media.routes import TRANSCRIPTIONS_PATH
from gateway.inference.metrics import InferenceMetrics
from gateway.inference.models import load_price_list
from gateway.inference.providers import Provider
from gateway.inference.routing import Router
from gateway.inference.search_embeddings import SETTING, SearchEmbeddings, ToolSearchEmbeddings
from gateway.inference.stand_ins import build_catalogs
from gateway.inference.tool_images import ToolImages
from gateway.inference.turn_model import TurnModel
from gateway.inference.upstream import Upstream
from gateway.jobs.jobs import Jobs
from gateway.mcp_server.wiring import mcp_endpoint
from gateway.migrations import migrate
from gateway.oauth_client_settings import configured_clients
from gateway.responses.rows import ResponseRows
from gateway.responses.stored import StoredResponses
from gateway.settings import BadSettings, Settings
from gateway.usage.roller import Roller
from gateway.vault_keys import load_keys
from kit.clock import Clock, SystemClock
from kit.db import Database
from kit.money import nanos_from_usd
from kit.sqlite_vectors import NoVectorFunctions
from threads.change_stream import ThreadChanges
from threads.embedder import Embedder
from threads.fork import Forks
from threads.purge import Purger
from threads.search_index import SearchFiller
from threads.store import ThreadStore
from threads.turn import TurnEngine
from threads.vector_schema import VectorsUnavailable, switch_off, switch_on
from vault.models import Secret
from vault.store import Vault, WrongKeys


class App:
    """One process of Heddle: ``App.open`` builds it, ``start`` before serving ``asgi``, then ``close``."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        vault: Vault,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        sim_url: str | None,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.db = db
        self.clock = clock
        policy = settings.outbound_policy

        self.keys = ApiKeys(db, clock, key_prefix=settings.key_prefix)
        self.billing = Billing(db, clock, low_balance=nanos_from_usd(settings.low_balance_usd))
        self.stripe = _stripe(settings, db, clock, self.billing)
        self.roller = Roller(db, clock)
        terms = AccountTerms(db, clock, usual_markup=settings.markup)

        self.upstream = Upstream()
        self.metrics = CollectorRegistry()
        router = Router(self.upstream, InferenceMetrics(self.metrics), max_tries=settings.max_tries)
        catalogs = build_catalogs(settings, providers, sim_url, clock)
        self.inference = Inference(catalogs, self.billing, router, terms)

        self.catalog = catalog
        public_url = settings.resolved_public_url
        self._oauth_http = http = OAuthHttp(policy)
        self.connectors = registry = ConnectorRegistry(db, catalog)
        clients = OAuthClients(
            db, vault, clock, http, f"{public_url}{CALLBACK_PATH}", _oauth_clients(settings)
        )
        self.connections = Connections(db, vault, clock, http, clients)
        self.credentials = Credentials(db, clock, http, clients, registry, self.connections)
        self.connection_upkeep = ConnectionUpkeep(
            db, clock, self.connections, self.credentials, SessionPurge(db, vault, clock)
        )
        self.connect_sessions = ConnectSessions(
            db, vault, clock, http, clients, registry, self.connections, public_url=public_url
        )
        self.devices = DeviceFlows(db, vault, clock, http, registry, self.connect_sessions)
        self.broker = Broker(
            db=db,
            vault=vault,
            credentials=self.credentials,
            connect_sessions=self.connect_sessions,
            clock=clock,
            policy=policy,
            operator_servers={
                name: StdioServer(command=own.command, args=own.args, env=own.env)
                for name, own in settings.mcp_servers.items()
            },
            meter=ToolMeter(ToolPrices(settings.tool_usd), self.billing, terms),
            images=ToolImages(db, self.inference, self.keys),
            review=_review(settings),
            endpoint_limits=EndpointLimits(per_endpoint=settings.max_calls_per_webhook),
        )

        self.mcp = mcp_endpoint(db, vault, clock, self.keys, self.connections, self.broker, http, settings)
        self.twins = Twins(db, clock, credit_usd=settings.test_credit_usd, possible=catalogs.test is not None)
        self.engine = TurnEngine(
            db,
            clock,
            TurnModel(self.inference),
            self.broker,
            FreeFunds(db, clock),
            event_prefix=settings.event_prefix,
        )
        self.billing.on_credited(lambda _account_id: self.engine.funds.money_came())
        self.thread_changes = ThreadChanges(db)
        self.search_filler = SearchFiller(db)
        self.search_model = SearchEmbeddings.configured(settings, self.inference)
        self.embedder = None
        if self.search_model is not None:
            self.embedder = Embedder(db, clock, self.search_model)
            self.billing.on_credited(self.embedder.money_came)
            self.broker.dynamic.embed_with(ToolSearchEmbeddings(self.search_model))
        self.purger = Purger(db, clock, keep_h=settings.keep_deleted_threads_h)
        self.idempotency = Idempotency(
            db,
            vault,
            clock,
            max_answer_bytes=settings.max_idempotent_answer_bytes,
            max_request_bytes=settings.max_request_bytes,
            larger_requests={TRANSCRIPTIONS_PATH: settings.max_upload_bytes},
        )
        self.threads = ThreadStore(db, clock, self.engine.endings)
        self.responses = StoredResponses(
            ResponseRows(db, clock), self.threads, Forks(db, clock), self.engine, self.inference, clock
        )
        hot_routes = inference_routes(self.inference, self.upstream, settings)
        in_background = {**hot_routes}
        hot_routes[RESPONSES_PATH] = responses_route(self.responses, self.inference, settings)
        for path in (TRANSCRIPTIONS_PATH, COUNT_TOKENS_PATH):  # a form, and what costs nothing
            del in_background[path]
        self.jobs = Jobs(db, vault, clock, self.keys, in_background, settings)
        self.connections.on_connected(self._resume_turns)
        self.connect_sessions.on_declined(self._tell_turns)
        routers = control_plane(self)
        self.post_paths = frozenset({*hot_routes, *post_paths(routers)})
        """The routes that may spend are among these; a test holds them to it."""
        bounded = BodyLimit(api_of(routers), max_bytes=settings.max_request_bytes)
        door = FrontDoor(bounded, self.keys, self.idempotency, hot_routes=hot_routes)
        self.asgi: ASGIApp = CrossOrigin(door, origins=settings.allowed_origins)

    @classmethod
    async def open(
        cls,
        settings: Settings,
        providers: Mapping[str, Provider],
        *,
        sim_url: str | None = None,
        clock: Clock | None = None,
    ) -> "App":
        """Migrate the database, load the vault's keys, wire everything. ``sim_url`` is where the simulated
        provider listens, if it does: test mode needs it. Raises BadSettings."""
        clock = clock or SystemClock()
        try:
            catalog = Catalog.load(settings.catalog_dir)
        except BadCatalogEntry as error:
            raise BadSettings(str(error)) from None
        db = _database(settings)
        try:
            migrate(db.url)
            async with db.session() as session:
                secrets_exist = (await session.exec(select(Secret.id).limit(1))).first() is not None
            vault = Vault(db, load_keys(settings, secrets_exist=secrets_exist), clock)
            await vault.check_keys()
            app = cls(settings, db, vault, catalog, providers, sim_url, clock)
            await app._prepare_search()
            return app
        except WrongKeys as error:
            await db.close()
            raise BadSettings(f"{error}; restore the vault key file, or set HEDDLE_VAULT_KEYS") from None
        except BaseException:
            await db.close()
            raise

    async def _prepare_search(self) -> None:
        """Raises BadSettings."""
        if self.search_model is None:
            await switch_off(self.db)
            return
        try:
            await switch_on(self.db, self.search_model.space)
        except VectorsUnavailable as error:
            raise BadSettings(f"{SETTING}: {error}") from None

    async def start(self) -> Bootstrapped:
        """Start the background work; make sure there is an account. Turns that were cut off go on."""
        await asyncio.to_thread(load_price_list)
        await self.upstream.start()
        await self.billing.start()
        first = await bootstrap(
            self.db,
            self.clock,
            self.keys,
            self.billing,
            admin_key=self.settings.bootstrap_admin_key,
            starter_credit_usd=self.settings.starter_credit_usd,
        )
        if self.stripe is not None:
            await self.stripe.start()
        self.roller.start()
        await self.idempotency.start()
        await self.broker.start()
        self.connection_upkeep.start()
        await self.mcp.start()
        await self.engine.start()
        await self.jobs.runner.start()
        self.search_filler.start()
        if self.embedder is not None:
            self.embedder.start()
        self.purger.start()
        self.devices.start()
        return first

    def stop_streams(self, *, all_of_them: bool) -> None:
        """End the streams that would go on without end, because the process is about to stop; later also
        those of the turns that it runs. Their readers go on elsewhere."""
        self.thread_changes.stop()
        self.mcp.stop_streams()
        if all_of_them:
            self.engine.hub.stop()
        else:
            self.engine.hub.stop_watching()

    async def close(self) -> None:
        """Hand running turns over, settle what is open, close everything; the reverse of ``start``."""
        self.stop_streams(all_of_them=True)
        await self.devices.close()
        await self.purger.close()
        if self.embedder is not None:
            await self.embedder.close()
        await self.search_filler.close()
        await self.jobs.runner.close()
        await self.engine.close()
        await self.mcp.close()
        await self.broker.close()
        await self.connection_upkeep.close()
        await self.credentials.close()
        await self._oauth_http.close()
        if self.stripe is not None:
            await self.stripe.close()
        await self.idempotency.close()
        await self.roller.close()
        await self.billing.close()
        await self.upstream.close()
        await self.db.close()

    async def _resume_turns(self, connected: Connected) -> None:
        await self.engine.connected(
            connected.account_id, connected.connector, connected.end_user_id, connected.label
        )

    async def _tell_turns(self, declined: Declined) -> None:
        await self.engine.declined(
            declined.account_id, declined.connector, declined.end_user_id, declined.label
        )


def _database(settings: Settings) -> Database:
    try:
        return Database(
            settings.resolved_database_url, vector_functions=settings.search_embedding_model is not None
        )
    except NoVectorFunctions as error:
        raise BadSettings(
            f"{SETTING}: {error}; use a Python whose sqlite3 can, or PostgreSQL, or leave the setting out"
        ) from None


def _oauth_clients(settings: Settings) -> dict[str, ConfiguredClient]:
    try:
        return configured_clients(settings.oauth_clients)
    except ValueError as error:
        raise BadSettings(str(error)) from None


def _review(settings: Settings) -> ResultReview:
    """Raises BadSettings."""
    try:
        return settings.tool_results.review()
    except BadPolicy as error:
        raise BadSettings(f"tool_results.policy: {error}") from None


def _stripe(settings: Settings, db: Database, clock: Clock, billing: Billing) -> StripeBilling | None:
    if settings.stripe_secret_key is None:
        return None
    return StripeBilling(
        db,
        clock,
        billing,
        settings.stripe,
        secret_key=settings.stripe_secret_key,
        webhook_secrets=settings.stripe_webhook_secrets,
        public_url=settings.resolved_public_url,
    )


@asynccontextmanager
async def running(
    settings: Settings, providers: Mapping[str, Provider], *, sim_url: str | None = None
) -> AsyncIterator[App]:
    """An App between ``start`` and ``close`` (tests and tools)."""
    app = await App.open(settings, providers, sim_url=sim_url)
    await app.start()
    try:
        yield app
    finally:
        await app.close()
