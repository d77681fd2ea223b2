"""What a registration of an MCP server asks for: an address of one's own, or a vendor of the catalogue."""

from broker.models import McpServer
from broker.server_schemas import CreateServer, ServerPolicy
from broker.server_store import PER_USER, NewServer
from broker.tenant_secret import TenantSecret
from connectors.catalog import Catalog, CatalogEntry
from connectors.config_values import check_values
from connectors.own_client import GRANT, OwnClient
from connectors.url_template import BadUrlValue
from kit.errors import Conflict, InvalidRequest, NotFound


def new_server(body: CreateServer, catalog: Catalog) -> NewServer:
    """Raises InvalidRequest, Conflict, NotFound."""
    if body.catalog_slug is not None:
        return _of_vendor(body, body.catalog_slug, catalog)
    assert body.name is not None and body.server_url is not None
    if catalog.get(body.name) is not None:  # connections go by name: it must not mean two vendors
        raise Conflict(
            f"{body.name} is the name of a catalogue entry: choose another, or send catalog_slug",
            code="name_taken",
            param="name",
        )
    credentials: TenantSecret = body.auth.client() if body.auth is not None else dict(body.auth_headers or {})
    return NewServer(body.name, body.server_url, body.auth_mode, credentials=credentials, policy=body.columns)


def changed_credentials(body: ServerPolicy, server: McpServer, now: OwnClient | None) -> TenantSecret | None:
    """What takes the place of a server's credentials, ``now`` if they are a client; None: they stay. Raises
    InvalidRequest."""
    param = "auth" if body.auth is not None else "auth_headers"
    if (body.auth is not None or body.auth_headers is not None) and server.auth_mode == PER_USER:
        raise InvalidRequest(f"{param}: end users bring their own credentials to this server", param=param)
    return body.auth.client(now=now) if body.auth is not None else body.auth_headers


def _of_vendor(body: CreateServer, slug: str, catalog: Catalog) -> NewServer:
    entry = catalog.get(slug)
    if entry is None:
        raise NotFound(f"the catalogue has no entry {slug}", param="catalog_slug")
    if entry.server_url is None:
        raise InvalidRequest(
            f"{entry.display_name} is an API, not an MCP server: expected a slug of GET /v1/mcp-catalog",
            param="catalog_slug",
        )
    _check_mode(body, entry)
    kind = GRANT if body.auth is not None and GRANT in entry.auth_kinds else "api_key"
    values = check_values(entry.fields_for(kind), body.config) if body.config is not None else {}
    headers = dict(body.auth_headers or {})
    if body.config is not None:
        headers |= entry.header_values(values)
    credentials: TenantSecret = headers if body.auth is None else body.auth.client(values)
    try:
        server_url = entry.filled(entry.server_url, values)
    except BadUrlValue as error:
        raise InvalidRequest(f"config.{error}", param="config") from None
    name = body.name or entry.slug
    return NewServer(name, server_url, body.auth_mode, entry.slug, credentials, body.columns)


def _check_mode(body: CreateServer, entry: CatalogEntry) -> None:
    """Raises InvalidRequest where a vendor does not take what the mode would bring."""
    if entry.auth == "none" and body.auth_mode != "tenant":
        raise InvalidRequest(
            f"{entry.display_name} knows no users: expected auth_mode tenant", param="auth_mode"
        )
    if entry.auth_kinds == (GRANT,) and body.auth_mode != "tenant":
        raise InvalidRequest(
            f"{entry.display_name} takes only {GRANT}, the developer's own: expected auth_mode tenant",
            param="auth_mode",
        )
    if body.auth_mode != "tenant" or body.auth is not None:
        return
    if GRANT in entry.auth_kinds and set(entry.auth_kinds) <= {GRANT, "oauth2"}:
        raise InvalidRequest(
            f"{entry.display_name} gives tokens to your own client: expected auth with type {GRANT}, "
            "client_id and client_secret",
            param="auth",
        )
    if entry.auth_kinds == ("oauth2",):
        raise InvalidRequest(
            f"{entry.display_name} takes oauth2, which tenant mode does not serve: "
            "expected auth_mode per_user, or a server_url with auth_headers of your own",
            param="auth_mode",
        )
