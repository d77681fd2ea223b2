"""The scripted providers, one per dialect: how each hears a request, and how it puts a reply on the wire."""

from tests.gateway.inference.crossing.providers import (
    anthropic,
    google,
    openai_chat,
    openai_responses,
)
from tests.gateway.inference.crossing.providers.provider import FakeProvider

PROVIDERS: dict[str, FakeProvider] = {
    provider.dialect: provider
    for provider in (
        anthropic.PROVIDER,
        openai_chat.PROVIDER,
        openai_responses.PROVIDER,
        google.PROVIDER,
    )
}
