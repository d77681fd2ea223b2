"""Model providers: where they are, which dialect they speak, and whether they are switched on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.settings import BadSettings, ProviderSettings, Settings

ANTHROPIC = "anthropic"
OPENAI_CHAT = "openai-chat"
SIM = "sim"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that is switched on. ``base_urls`` holds the root per dialect, as the SDKs take it."""

    name: str
    base_urls: Mapping[str, str]
    api_key: str | None = field(default=None, repr=False)
    prices_id: str | None = None
    """The provider's id in the ``genai-prices`` catalogue, if it is listed there."""


@dataclass(frozen=True, slots=True)
class _Known:
    name: str
    dialect: str
    base_url: str
    prices_id: str


KNOWN = (
    _Known("anthropic", ANTHROPIC, "https://api.anthropic.com", "anthropic"),
    _Known("openai", OPENAI_CHAT, "https://api.openai.com/v1", "openai"),
)


def configured_providers(settings: Settings, environ: Mapping[str, str]) -> dict[str, Provider]:
    """The providers that are on: known ones whose key variable is set, and those of the settings.

    ``<NAME>_API_KEY`` switches a known provider on and ``<NAME>_BASE_URL`` moves it. A provider in the
    settings may also work without a key (a local vLLM, say). Raises BadSettings.
    """
    found: dict[str, Provider] = {}
    for known in KNOWN:
        own = settings.providers.get(known.name, ProviderSettings())
        api_key = _api_key(known.name, own, environ)
        if api_key:
            base_url = environ.get(_variable(known.name, "BASE_URL")) or own.base_url or known.base_url
            found[known.name] = Provider(
                known.name, {known.dialect: base_url.rstrip("/")}, api_key, known.prices_id
            )
    known_names = {known.name for known in KNOWN}
    for name, own in settings.providers.items():
        if name in known_names:
            continue
        base_url = environ.get(_variable(name, "BASE_URL")) or own.base_url or ""
        if name == SIM:
            raise BadSettings(f"providers.{name}: this name is taken by the simulated provider")
        if own.dialect is None:
            raise BadSettings(f'providers.{name}.dialect: expected "anthropic" or "openai-chat"')
        if not base_url.startswith(("http://", "https://")):
            raise BadSettings(f"providers.{name}.base_url: expected an http(s) URL")
        found[name] = Provider(
            name, {own.dialect: base_url.rstrip("/")}, _api_key(name, own, environ), prices_id=None
        )
    return found


def sim_provider(base_url: str) -> Provider:
    """The simulated provider behind ``base_url``; it speaks both dialects."""
    return Provider(SIM, {ANTHROPIC: base_url, OPENAI_CHAT: f"{base_url}/v1"}, api_key="sim-key")


def _api_key(name: str, own: ProviderSettings, environ: Mapping[str, str]) -> str | None:
    return own.api_key or environ.get(own.api_key_env or _variable(name, "API_KEY")) or None


def _variable(name: str, suffix: str) -> str:
    return f"{name.upper().replace('-', '_')}_{suffix}"
