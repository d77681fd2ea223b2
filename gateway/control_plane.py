"""Everything over HTTP but the inference routes: which routes there are, and what each needs."""

from typing import TYPE_CHECKING

from fastapi import APIRouter

from broker.builtins.routes import builtin_routes
from broker.dynamic.routes import dynamic_routes
from broker.routes import mcp_server_routes, tool_routes
from connectors.client_routes import client_documents, client_routes, verification_routes
from connectors.page_routes import connect_pages
from connectors.routes import connection_routes
from gateway.accounts.branding import Branding
from gateway.accounts.branding_routes import branding_routes
from gateway.accounts.end_user_routes import end_user_routes
from gateway.accounts.end_users import EndUsers
from gateway.accounts.models import Account
from gateway.accounts.routes import key_routes
from gateway.billing.credits import credit_routes
from gateway.billing.routes import billing_routes
from gateway.billing.stripe.routes import stripe_routes
from gateway.inference.routes import model_routes
from gateway.mcp_server.wiring import mcp_routes
from gateway.ops.routes import ops_routes
from gateway.responses.conversations import Conversations
from gateway.responses.routes import conversation_routes, response_routes
from gateway.statements.routes import statement_routes
from gateway.statements.statements import Statements
from gateway.usage.events import UsageEvents
from gateway.usage.reports import UsageReports
from gateway.usage.routes import usage_routes
from threads.copy_routes import copy_routes
from threads.event_routes import event_routes
from threads.fork import Forks
from threads.reading import TurnReader
from threads.routes import thread_routes
from threads.search import Search
from threads.search_routes import search_routes
from threads.transfer import Transfer
from threads.webhook_results import WebhookResults, webhook_result_routes

if TYPE_CHECKING:
    from gateway.app import App


def control_plane(app: "App") -> tuple[APIRouter, ...]:
    async def account_name(account_id: str) -> str:
        async with app.db.session() as session:
            account = await session.get(Account, account_id)
        return account.name if account is not None else "an application"

    store = app.threads
    reader = TurnReader(app.db, app.engine.actions)
    usage_events = UsageEvents(app.db)
    end_users = EndUsers(app.db, app.clock)
    branding = Branding(app.db, app.clock, app.settings.outbound_policy)
    return (
        ops_routes(app.db, app.metrics, metrics_token=app.settings.metrics_token),
        key_routes(app.keys, app.twins, app.clock),
        end_user_routes(end_users),
        branding_routes(branding),
        billing_routes(app.billing),
        stripe_routes(app.stripe),
        credit_routes(app.db, app.billing, operator_token=app.settings.operator_token),
        usage_routes(UsageReports(app.db), usage_events, app.keys, app.clock),
        statement_routes(Statements(usage_events, app.clock, markup=end_users.resale_markup), account_name),
        model_routes(app.inference),
        thread_routes(
            store,
            app.engine,
            reader,
            max_request_bytes=app.settings.max_request_bytes,
            default_tools_mode=app.settings.default_tools_mode,
        ),
        event_routes(app.engine, app.thread_changes),
        webhook_result_routes(app.engine, app.broker, WebhookResults(app.db, app.clock, app.engine.actions)),
        copy_routes(
            Forks(app.db, app.clock),
            Transfer(app.db, app.clock),
            max_request_bytes=app.settings.max_request_bytes,
        ),
        search_routes(Search(app.db, app.search_model)),
        app.jobs.routes(),
        response_routes(app.responses),
        conversation_routes(Conversations(app.responses.rows, store, app.engine)),
        tool_routes(app.broker),
        builtin_routes(),
        dynamic_routes(app.broker),
        mcp_server_routes(app.broker, app.catalog),
        connection_routes(app.connections, app.credentials, app.connect_sessions, app.devices),
        client_routes(app.connectors, app.connect_sessions),
        verification_routes(app.connect_sessions),
        client_documents(app.connect_sessions.consents.clients),
        mcp_routes(app.mcp, app.settings),
        connect_pages(
            app.connect_sessions,
            branding,
            secure_cookie=app.settings.resolved_public_url.startswith("https:"),
        ),
    )
