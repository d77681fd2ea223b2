"""What may be carried out again after the process that did it has died.

Whether it had taken effect is then not known. Model calls, and everything else that is paid, may run again:
what a dead process had on hold was never charged (and if it was charged, they do not). So may what leaves
nothing behind that counts: an empty thread, a consent or payment link that nobody has seen, a secret that
nobody has seen, or a state that is set rather than moved. All else may not: a second API key, a second tool,
a tool's effect on the world.
"""

import re

_ONE = r"[^/]+"
_AGAIN = re.compile(
    "|".join(
        (
            r"/v1/messages(/count_tokens)?",
            r"/v1/chat/completions",
            r"/v1/responses",
            r"/v1/embeddings",
            r"/v1/images/generations",
            rf"/v1/audio/{_ONE}",
            r"/v1/threads",
            rf"/v1/threads/{_ONE}/messages",  # until its turn is stored, with which the record goes along
            rf"/v1/threads/{_ONE}/turns/{_ONE}/(actions|cancel)",
            rf"/v1/tools/{_ONE}/rotate-secret",
            rf"/v1/mcp-servers/{_ONE}/refresh",
            rf"/v1/connections/(sessions|{_ONE}/refresh)",
            r"/v1/billing/(checkout|portal)",
        )
    )
)


def runs_again(path: str) -> bool:
    """Whether a POST to ``path`` that was cut off may be carried out once more."""
    return _AGAIN.fullmatch(path) is not None
