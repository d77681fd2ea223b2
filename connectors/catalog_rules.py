"""What must hold between the fields of a catalogue entry, beyond the form of each."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from connectors.catalog_entry import AuthKind, CatalogEntry, ConfigField
from connectors.catalog_grants import asked_of
from connectors.url_template import placeholders, template_faults

Fault = tuple[str, str]
"""A field and what is wrong with it."""

ACCESS_TOKEN = "access_token"  # noqa: S105, the placeholder's name


def faults(entry: CatalogEntry) -> Iterator[Fault]:
    """Everything that contradicts itself in an entry whose fields are each well formed."""
    yield from _kind(entry)
    yield from _authentication(entry)
    yield from _urls(entry)
    yield from _config_schema(entry)
    yield from _placeholders(entry)


def _kind(entry: CatalogEntry) -> Iterator[Fault]:
    if entry.kind == "mcp" and entry.server_url is None:
        yield "server_url", "expected the address of the MCP server, or kind api"
    if entry.kind == "api" and entry.server_url is not None:
        yield "server_url", "expected none: an entry of kind api has an api_url"
    told = entry.oauth2 is not None and entry.oauth2.token_response.api_url is not None
    if entry.kind == "api" and entry.api_url is None and not told:
        yield "api_url", "expected the address of the API, or oauth2.token_response.api_url that tells it"


def _authentication(entry: CatalogEntry) -> Iterator[Fault]:
    kinds = entry.auth_kinds
    if len(set(kinds)) != len(kinds):
        yield "other_auth", "expected each kind of authentication once"
    if "none" in kinds and len(kinds) > 1:
        yield "other_auth", "expected nothing beside none"
    if "oauth" in kinds and entry.kind != "mcp":
        yield "auth", "expected oauth2: oauth is the authorization flow of MCP servers"
    tables: dict[str, tuple[AuthKind, bool]] = {
        "oauth2": ("oauth2", entry.oauth2 is not None),
        "client_credentials": ("client_credentials", entry.client_credentials is not None),
        "headers": ("api_key", bool(entry.headers) or entry.basic is not None),
    }
    for table, (kind, given) in tables.items():
        if kind in kinds and not given:
            yield (
                table,
                f"expected this table: auth {kind} needs it" + (" (or basic)" if kind == "api_key" else ""),
            )
        if kind not in kinds and given:
            yield table, f"expected auth or other_auth to say {kind}"
    if entry.oauth is not None and "oauth" not in kinds:
        yield "oauth", "expected auth or other_auth to say oauth"
    if entry.basic is not None and "authorization" in entry.headers:
        yield "basic", "expected either basic or headers.authorization"
    if entry.oauth2 is not None and not entry.oauth2.refresh and entry.oauth2.refresh_url is not None:
        yield "oauth2.refresh_url", "expected none where refresh is false"
    if (
        entry.oauth2 is not None
        and not entry.oauth2.tokens_expire
        and entry.oauth2.token_lifetime_s is not None
    ):
        yield "oauth2.token_lifetime_s", "expected none where tokens_expire is false"


def _urls_of(entry: CatalogEntry) -> dict[str, str]:
    urls = {"server_url": entry.server_url, "api_url": entry.api_url}
    if entry.account is not None:
        urls["account.url"] = entry.account.url
    if entry.oauth2 is not None:
        urls |= {f"oauth2.{name}": url for name, url in entry.oauth2.urls().items()}
    if entry.client_credentials is not None:
        urls["client_credentials.token_url"] = entry.client_credentials.token_url
    return {name: url for name, url in urls.items() if url is not None}


def _urls(entry: CatalogEntry) -> Iterator[Fault]:
    required = set((entry.config_schema or {}).get("required", ()))
    for name, url in _urls_of(entry).items():
        # An MCP server in the operator's own network may have no certificate; tokens are never asked for so.
        for fault in template_faults(url, entry.choices, plain_http=name == "server_url"):
            yield name, fault
        for missing in sorted(placeholders(url) - required):
            yield name, f"expected config_schema.required to name {missing}, which this address needs"


def _texts_of(entry: CatalogEntry) -> dict[str, str]:
    texts = {f"headers.{name}": text for name, text in entry.headers.items()}
    if entry.basic is not None:
        texts |= {"basic.username": entry.basic.username, "basic.password": entry.basic.password}
    if entry.oauth2 is not None:
        texts |= {f"oauth2.{name}": text for name, text in entry.oauth2.texts().items()}
        texts |= {f"oauth2.headers.{name}": text for name, text in entry.oauth2.headers.items()}
    if entry.client_credentials is not None:
        params = entry.client_credentials.token_params
        texts |= {f"client_credentials.token_params.{name}": text for name, text in params.items()}
    return texts


def _placeholders(entry: CatalogEntry) -> Iterator[Fault]:
    fields = set((entry.config_schema or {}).get("properties", ()))
    texts = {**_urls_of(entry), **_texts_of(entry)}
    for name, text in texts.items():
        known = fields | {ACCESS_TOKEN} if name.startswith("oauth2.headers.") else fields
        for unknown in sorted(placeholders(text) - known):
            yield name, f"uses {unknown}, which is not in config_schema.properties"
    for unused in sorted(fields - asked_of(*texts.values())):
        yield f"config_schema.properties.{unused}", "expected some address or header to use it"


def _config_schema(entry: CatalogEntry) -> Iterator[Fault]:
    schema = entry.config_schema
    if schema is None:
        if "api_key" in entry.auth_kinds:
            yield "config_schema", "expected the values that auth api_key asks for"
        return
    for name in sorted(schema.keys() - {"type", "properties", "required"}):
        yield f"config_schema.{name}", "there is no such field: expected type, properties, required"
    properties, required = schema["properties"], schema.get("required", [])
    if not set(required) <= properties.keys():
        yield "config_schema.required", f"expected a list of {', '.join(properties)}"
    for name, field in properties.items():
        yield from _config_field(f"config_schema.properties.{name}", name, field)


def _config_field(place: str, name: str, field: Any) -> Iterator[Fault]:
    if name == ACCESS_TOKEN or not re.fullmatch(r"[a-z_][a-z0-9_]{0,39}", name):
        yield place, "expected a name of small letters, digits and _, other than access_token"
    try:
        checked = ConfigField.model_validate(field)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            yield ".".join([place, *map(str, fault["loc"])]), fault["msg"]
        return
    if checked.pattern is None:
        return
    try:
        re.compile(checked.pattern)
    except re.error as error:
        yield f"{place}.pattern", f"expected a regular expression: {error}"
        return
    if (
        not (checked.pattern.startswith("^") and checked.pattern.endswith("$"))
        and checked.format != "password"
    ):
        yield f"{place}.pattern", "expected ^…$: a part that fits would do otherwise"
