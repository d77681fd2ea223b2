"""Model providers: where they are, which dialects they speak, and whether they are switched on."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from gateway.inference.dialects.codec import Quirks
from gateway.settings import BadSettings, ProviderSettings, Settings

ANTHROPIC = "anthropic"
OPENAI_CHAT = "openai-chat"
SIM = "sim"
SIM_KEY = "sim-key"
"""Any key will do there."""
CONNECT_TIMEOUT_S = 10.0
FIRST_BYTE_TIMEOUT_S = 600.0
IDLE_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for a provider, in seconds, and how many calls may be under way at once."""

    connect_timeout_s: float = CONNECT_TIMEOUT_S
    first_byte_timeout_s: float = FIRST_BYTE_TIMEOUT_S
    """Until the answer's head: for a whole answer that is all of the model's work."""
    idle_timeout_s: float = IDLE_TIMEOUT_S
    """The longest silence between two pieces of an answer."""
    max_concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that is switched on. ``base_urls`` holds the root per dialect, as the SDKs take it, the
    preferred dialect first."""

    name: str
    base_urls: Mapping[str, str]
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    prices_id: str | None = None
    """The provider's id in the ``genai-prices`` catalogue, if it is listed there."""
    display_name: str | None = None
    quirks: Quirks = field(default_factory=Quirks)
    limits: Limits = field(default_factory=Limits)
    tool_usd: Mapping[str, Decimal] = field(default_factory=dict)
    """What each use costs of the tools that run there."""
    unit_usd: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    """Prices per unit that the price list lacks or has otherwise, by the beginnings of models' names."""
    stands_in_for: str | None = None
    """In test mode: the provider whose place the simulated one takes (see ``stand_ins``)."""

    @property
    def place(self) -> str:
        """What its state in this process is kept under: a stand-in shares none with anybody."""
        return self.name if self.stands_in_for is None else f"{self.name}/{self.stands_in_for}"

    def own_prices(self, model: str) -> dict[str, Decimal]:
        """A model's prices per unit by its name; the longest beginning has the last word."""
        prices: dict[str, Decimal] = {}
        for beginning in sorted(self.unit_usd, key=len):
            if model.startswith(beginning):
                prices |= self.unit_usd[beginning]
        return prices


class _Known(msgspec.Struct, forbid_unknown_fields=True):
    """An entry of ``providers.toml``."""

    display_name: str
    keys: list[str]
    base_urls: dict[str, str]
    prices: str | None = None
    quirks: dict[str, Any] = {}
    tool_usd: dict[str, Decimal] = {}
    unit_usd: dict[str, dict[str, Decimal]] = {}


@cache
def _known() -> dict[str, _Known]:
    text = resources.files("gateway.inference").joinpath("providers.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, _Known])


def known_provider_names() -> list[str]:
    return list(_known())


def known_keys() -> list[str]:
    """The variable that switches each known provider on, the usual one of those that do."""
    return [known.keys[0] for known in _known().values()]


def configured_providers(settings: Settings, environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers that are on: known ones whose key variable is set, and those of the settings.

    A key variable may hold several keys, separated by commas. ``<NAME>_BASE_URL`` moves a provider. One
    of the settings may also work without a key (a local vLLM, say). Raises BadSettings.
    """
    found: dict[str, Provider] = {}
    for name, known in _known().items():
        own = settings.providers.get(name, ProviderSettings())
        keys = _keys(own, known.keys, environ)
        if keys:
            found[name] = _known_provider(name, known, own, keys, environ)
    for name, own in settings.providers.items():
        if name not in _known():
            found[name] = _own_provider(name, own, environ)
    return found


def sim_provider(base_url: str) -> Provider:
    """The simulated provider behind ``base_url``; it speaks both dialects."""
    urls = {ANTHROPIC: base_url, OPENAI_CHAT: f"{base_url}/v1"}
    return Provider(SIM, urls, (SIM_KEY,), display_name="Simulated")


def _known_provider(
    name: str, known: _Known, own: ProviderSettings, keys: tuple[str, ...], environ: Mapping[str, str]
) -> Provider:
    moved = environ.get(_variable(name, "BASE_URL")) or own.base_url
    if own.dialect is not None and moved is None and own.dialect not in known.base_urls:
        raise BadSettings(f"providers.{name}.dialect: set base_url too, {name} is not known to speak it")
    bases: Mapping[str, str]
    if own.dialect is not None:
        bases = {own.dialect: moved or known.base_urls[own.dialect]}
    elif moved is not None:  # only the preferred dialect and those at the same address move with it
        preferred = next(iter(known.base_urls.values()))
        bases = {dialect: moved for dialect, url in known.base_urls.items() if url == preferred}
    else:
        bases = known.base_urls
    urls = {dialect: _filled(url, name, environ).rstrip("/") for dialect, url in bases.items()}
    return Provider(
        name,
        urls,
        keys,
        known.prices,
        known.display_name,
        _quirks(name, {**known.quirks, **own.quirks}),
        _limits(own),
        {**known.tool_usd, **own.tool_usd},
        known.unit_usd,
    )


def _own_provider(name: str, own: ProviderSettings, environ: Mapping[str, str]) -> Provider:
    base_url = environ.get(_variable(name, "BASE_URL")) or own.base_url or ""
    if name == SIM:
        raise BadSettings(f"providers.{name}: this name is taken by the simulated provider")
    if own.dialect is None:
        expected = ", ".join(f'"{dialect}"' for dialect in ("anthropic", "openai-chat", "openai-responses"))
        raise BadSettings(f'providers.{name}.dialect: expected {expected} or "google"')
    if not base_url.startswith(("http://", "https://")):
        raise BadSettings(f"providers.{name}.base_url: expected an http(s) URL")
    return Provider(
        name,
        {own.dialect: base_url.rstrip("/")},
        _keys(own, [_variable(name, "API_KEY")], environ),
        quirks=_quirks(name, own.quirks),
        limits=_limits(own),
        tool_usd=own.tool_usd,
    )


def _keys(own: ProviderSettings, variables: list[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """The provider's keys, each once, in order."""
    if own.api_key_env:
        variables = [own.api_key_env]
    named = [own.api_key] if own.api_key else [environ.get(variable, "") for variable in variables]
    keys = (key.strip() for key in ",".join(filter(None, [*named, *own.api_keys])).split(","))
    return tuple(dict.fromkeys(filter(None, keys)))


def _quirks(name: str, changes: Mapping[str, Any]) -> Quirks:
    try:
        return msgspec.convert(changes, Quirks)
    except msgspec.ValidationError as error:
        raise BadSettings(f"providers.{name}.quirks: {error}") from None


def _limits(own: ProviderSettings) -> Limits:
    given = own.model_dump(
        include={"connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s", "max_concurrent"},
        exclude_none=True,
    )
    return replace(Limits(), **given)


def _filled(url: str, name: str, environ: Mapping[str, str]) -> str:
    """A base URL with the variables that it names. Raises BadSettings if one is missing."""

    def value(match: re.Match[str]) -> str:
        found = environ.get(match[1])
        if not found:
            raise BadSettings(f"{match[1]} is not set, and {name}'s address needs it")
        return found

    return re.sub(r"\{(\w+)\}", value, url)


def _variable(name: str, suffix: str) -> str:
    return f"{name.upper().replace('-', '_')}_{suffix}"
