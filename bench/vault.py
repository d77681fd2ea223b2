"""What sealing and opening a secret costs, beside the floor: the two AES-256-GCM layers alone.

``python -m bench.vault`` prints CPU microseconds for a secret of the size of a pair of OAuth tokens.
"""

import secrets
import time
from collections.abc import Callable
from statistics import median

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.envelope import Binding, seal, unseal
from vault.keyring import KeyRing

SECRET = b"t" * 2_000
TIMES, ROUNDS = 2_000, 9
AIM_US = 50.0


def cpu_us(work: Callable[[], object]) -> float:
    """CPU microseconds of one call: the median of ``ROUNDS`` rounds of ``TIMES`` calls."""
    figures = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(TIMES):
            work()
        figures.append((time.process_time() - started) / TIMES * 1e6)
    return median(figures)


def main() -> None:
    key = secrets.token_bytes(32)
    ring, binding = KeyRing({"v1": key}), Binding("acct_1", "conn_1", "credentials", "sec_1")

    def floor() -> None:
        data_key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
        wrapped = AESGCM(key).encrypt(nonce, data_key, b"about")
        sealed = AESGCM(data_key).encrypt(nonce, SECRET, b"about")
        AESGCM(AESGCM(key).decrypt(nonce, wrapped, b"about")).decrypt(nonce, sealed, b"about")

    both = cpu_us(lambda: unseal(seal(SECRET, binding, ring), binding, ring))
    print(f"seal and open: {both:.1f} µs (aim {AIM_US:.0f}); the floor {cpu_us(floor):.1f} µs")


if __name__ == "__main__":
    main()
