"""Tool names that every model accepts: ``^[a-zA-Z0-9_-]{1,64}$``.

The mapping of one toolset is exact both ways and free of collisions. A name that is safe as it is stays;
``server/tool`` becomes ``server__tool``; whatever is too long, has other characters, or would meet
another name gets a short hash of its full name, so it is the same in every turn.
"""

import hashlib
import re
from collections.abc import Iterable

MODEL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")
HASH_DIGITS = 8
MAX_LENGTH = 64


def model_names(names: Iterable[str], *, reserved: Iterable[str] = ()) -> dict[str, str]:
    """Model-safe names by full name, none of which is ``reserved``. The outcome does not depend on the order
    of ``names``."""
    wanted = sorted(set(names), key=lambda name: (not MODEL_NAME.fullmatch(name), name))
    mapping: dict[str, str] = {}
    taken = set(reserved)
    for name in wanted:
        candidate = name if MODEL_NAME.fullmatch(name) else name.replace("/", "__", 1)
        digits = HASH_DIGITS
        while not MODEL_NAME.fullmatch(candidate) or candidate in taken:
            candidate = _hashed(name, digits)
            digits += HASH_DIGITS  # a server can choose names whose short hashes meet
        mapping[name] = candidate
        taken.add(candidate)
    return mapping


def _hashed(name: str, digits: int) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[: min(digits, MAX_LENGTH - 1)]
    readable = _UNSAFE.sub("_", name.replace("/", "__", 1))[: MAX_LENGTH - len(digest) - 1]
    return f"{readable}_{digest}"
