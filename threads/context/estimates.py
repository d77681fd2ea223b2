"""What messages take of a model's window, told once for each."""

from collections import OrderedDict

from threads.context.fitting import How, shown
from threads.context.portable import portable
from threads.context.untrusted import marked
from threads.model_client import ModelFacts
from threads.models import Message

MOST = 50_000
"""Estimates kept in this process: some 200 bytes each."""


class Estimates:
    """Stored messages never change, so neither does their size for a model."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[frozenset[str], str, How], int] = OrderedDict()

    def tokens(self, message: Message, how: How, facts: ModelFacts) -> int:
        """Of the message as the model is shown it."""
        key = (facts.models, message.id, how)
        known = self._kept.get(key)
        if known is not None:
            return known
        blocks = marked(shown(portable(message, facts, current=False), how))
        tokens = facts.message_tokens({"role": message.role, "content": blocks})
        if len(self._kept) >= MOST:
            self._kept.popitem(last=False)
        self._kept[key] = tokens
        return tokens
