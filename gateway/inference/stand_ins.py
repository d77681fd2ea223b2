"""Test mode's models: those of the live catalogue, served by the simulated provider.

Invariant: a test account's catalogue holds no address but the simulated provider's and no key but its, so
that no way leads from a test call to a real provider: not by an alias, a fallback, a retry or a count.

A stand-in speaks the dialects of the provider that it stands in for, has its prices and departs from the
dialects as it does: what crosses, what is dropped and what is refused is as in earnest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.accounts.twins import TestModeOff
from gateway.inference.models import ModelCatalog
from gateway.inference.providers import SIM, SIM_KEY, Limits, Provider, sim_provider
from gateway.settings import Settings
from kit.caller import Mode
from kit.clock import Clock

_BELOW_V1 = frozenset({"openai-chat", "openai-responses"})
"""Dialects whose base URLs end in ``/v1``."""


@dataclass(frozen=True, slots=True)
class Catalogs:
    """The models that can be called in each mode; none in test mode where the simulated provider is off."""

    live: ModelCatalog
    test: ModelCatalog | None = None

    def of(self, mode: Mode) -> ModelCatalog:
        """Raises TestModeOff."""
        if mode == "live":
            return self.live
        if self.test is None:
            raise TestModeOff
        return self.test


def build_catalogs(
    settings: Settings, providers: Mapping[str, Provider], sim_url: str | None, clock: Clock
) -> Catalogs:
    """``sim_url``: where the simulated provider listens, if it does. Raises BadSettings."""
    live = ModelCatalog(settings, providers, clock)
    if sim_url is None:
        return Catalogs(live)
    return Catalogs(live, ModelCatalog(settings, _stand_ins(providers, sim_url), clock))


def _stand_ins(providers: Mapping[str, Provider], sim_url: str) -> dict[str, Provider]:
    """One for each provider, by its name; and the simulated models, which every test account has."""
    everyone = {SIM: sim_provider(sim_url), **providers}
    return {name: _stand_in(provider, sim_url) for name, provider in everyone.items()}


def _stand_in(provider: Provider, sim_url: str) -> Provider:
    root = f"{sim_url}/as/{provider.name}"
    return replace(
        provider,
        name=SIM,
        stands_in_for=provider.name,
        base_urls={dialect: f"{root}/v1" if dialect in _BELOW_V1 else root for dialect in provider.base_urls},
        api_keys=(SIM_KEY,),
        limits=Limits(),
    )
