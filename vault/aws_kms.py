"""The vault's keys wrapped by AWS KMS (API version 2014-11-01: GenerateDataKey, Decrypt).

Needs the extra ``heddle[aws]``. Credentials and region come from where the AWS SDK looks for them. The
encryption context names the version, so a key in the file cannot take another one's place.
"""

from typing import Any

from vault.keyring import BadKeyRing

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 5


class AwsKms:
    """A ``KeyWrapper``."""

    scheme = "aws-kms"

    def __init__(self, key_id: str) -> None:
        """``key_id``: a KMS key's id, ARN or alias. Raises BadKeyRing if the extra is not installed."""
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError:
            raise BadKeyRing("AWS KMS needs the extra: pip install 'heddle[aws]'") from None
        self._key_id = key_id
        self._failures: tuple[type[Exception], ...] = (BotoCoreError, ClientError)
        patience = Config(
            connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"total_max_attempts": 2}
        )
        try:
            self._kms: Any = boto3.client("kms", config=patience)
        except self._failures as error:
            raise BadKeyRing(f"AWS KMS cannot be used: {_first_line(error)}") from None

    def new_key(self, version: str) -> tuple[bytes, bytes]:
        made = self._ask("generate_data_key", version, KeyId=self._key_id, KeySpec="AES_256")
        return made["Plaintext"], made["CiphertextBlob"]

    def unwrap(self, version: str, wrapped: bytes) -> bytes:
        opened = self._ask("decrypt", version, KeyId=self._key_id, CiphertextBlob=wrapped)
        plaintext: bytes = opened["Plaintext"]
        return plaintext

    def _ask(self, operation: str, version: str, **arguments: Any) -> dict[str, Any]:
        context = {"application": "heddle", "vault-key": version}
        try:
            answer: dict[str, Any] = getattr(self._kms, operation)(EncryptionContext=context, **arguments)
        except self._failures as error:
            said = _first_line(error)
            raise BadKeyRing(f"AWS KMS does not {operation} vault key {version}: {said}") from None
        return answer


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
