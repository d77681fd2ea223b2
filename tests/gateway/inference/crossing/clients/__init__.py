"""Hand-written clients, one per dialect."""

from tests.gateway.inference.crossing.clients.anthropic import AnthropicClient
from tests.gateway.inference.crossing.clients.client import Client
from tests.gateway.inference.crossing.clients.openai_chat import ChatClient
from tests.gateway.inference.crossing.clients.openai_responses import ResponsesClient

CLIENTS: dict[str, Client] = {
    client.name: client for client in (AnthropicClient(), ChatClient(), ResponsesClient())
}
