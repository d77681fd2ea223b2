"""Sealing what clients carry for us, with keys derived from the vault's, which may be rotated meanwhile."""

import time

from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState

from vault.store import Vault

LOOK_AGAIN_AFTER_S = 5.0
"""How often, at most, the vault's keys are read anew because of something that they do not open."""


class Sealing:
    """The SDK's codec (AES-256-GCM) over the keys that the vault has now, which all processes share.

    What was sealed under an older key of the ring opens as long as the ring has it.
    """

    def __init__(self, vault: Vault, purpose: str) -> None:
        self._vault = vault
        self._purpose = purpose
        self._looked_at = -float("inf")
        self._keys: list[bytes] = []
        self._codec: AESGCMRequestStateCodec

    def seal(self, payload: bytes) -> str:
        return self._current(anew=False).seal(payload)

    def unseal(self, token: str) -> bytes:
        """Raises InvalidRequestState for what was not sealed here, nor in another process."""
        try:
            return self._current(anew=False).unseal(token)
        except InvalidRequestState:
            if time.monotonic() - self._looked_at < LOOK_AGAIN_AFTER_S:
                raise
        self._looked_at = time.monotonic()  # it may be a key that this process has not seen yet
        return self._current(anew=True).unseal(token)

    def _current(self, *, anew: bool) -> AESGCMRequestStateCodec:
        keys = self._vault.derived_keys(self._purpose, anew=anew)
        if keys != self._keys:
            self._codec, self._keys = AESGCMRequestStateCodec(keys), keys
        return self._codec
