"""Which models cannot see, as far as is known: for them the images of a thread are left out.

The price list does not say. Named here are models whose makers document text as the only input; any other is
taken to see, and a model that does not refuses in its own words. ``vision`` under ``[models]`` decides first.
Sources, as of 2026-11: the makers' model pages (OpenAI, DeepSeek, Meta, Mistral, Zhipu, Moonshot, MiniMax,
Qwen, xAI, Cohere).
"""

import re
from functools import lru_cache

_BLIND = re.compile(
    r"""(^|/)(
      gpt-3\.5 | gpt-4(-32k)?(-\d{4})?$ | o1-(mini|preview) | o3-mini | gpt-oss
    | deepseek-(chat|reasoner|coder|r1|v3)
    | (meta-)?llama-?3([.-](1|3))?-\d+b | llama-v3p[13]
    | mixtral | codestral | (open-)?mistral-(7b|nemo)
    | glm-4[.p][567](-(air|airx|x|flash|flashx))?$
    | kimi-k2(-(instruct|thinking|turbo|\d{4}).*)?$
    | minimax-m[12](\.|p|-|$)
    | qwen3-(\d|coder|next) | qwq
    | grok-3 | grok-code
    | command-(r|a)(?!.*vision)
    )""",
    re.VERBOSE | re.IGNORECASE,
)


@lru_cache(maxsize=4_096)
def sees(model: str) -> bool:
    """Whether a model takes images, by its provider's name for it."""
    return _BLIND.search(model) is None
