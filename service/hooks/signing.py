"""What a message is signed with: the secrets of webhooks, and the headers of Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from typing import Final

from pydantic import SecretStr

from contract.errors import ConfigurationError
from contract.store.deliveries import Delivery
from contract.store.webhooks import Webhook

_BYTES: Final = 32
_DERIVED: Final = "derived"


def new(webhook_id: str, key: SecretStr | None) -> tuple[str, str]:
    """A new secret: what is stored of it, and itself.

    With a key nothing of it is stored but a salt: the secret is HMAC-SHA256 of webhook and salt under the key, so that who steals the
    database cannot sign. The salt's companion is a mark by which a key that was changed is noticed.
    """
    if key is None:
        secret = _written(secrets.token_bytes(_BYTES))
        return secret, secret
    salt = secrets.token_hex(16)
    secret = _derived(webhook_id, salt, key)
    return f"{_DERIVED}:{salt}:{_mark(secret)}", secret


def reveal(webhook_id: str, stored: str, key: SecretStr | None) -> str:
    """The secret itself. Raises ConfigurationError where the key that it was derived from is not here."""
    if not stored.startswith(f"{_DERIVED}:"):
        return stored
    _, salt, mark = stored.split(":")
    secret = None if key is None else _derived(webhook_id, salt, key)
    if secret is None or not hmac.compare_digest(_mark(secret), mark):
        raise ConfigurationError(
            "RIDGELINE_SECRET_KEY is not the one that this webhook's secret was derived from; restore it, or rotate the secret"
        )
    return secret


def headers(webhook: Webhook, delivery: Delivery, key: SecretStr | None, at: datetime | None = None) -> dict[str, str]:
    """Id, time and signature of a message; two signatures while two secrets are valid, the newer one first."""
    from standardwebhooks import Webhook as Signer

    at = at or datetime.now(UTC)
    stored = [webhook.secret]
    if webhook.previous_secret and (webhook.previous_secret_until or 0.0) > at.timestamp():
        stored.append(webhook.previous_secret)
    signers = [Signer(reveal(webhook.id, one, key)) for one in stored]
    return {
        "webhook-id": delivery.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signer.sign(delivery.id, at, delivery.body) for signer in signers),
    }


def _derived(webhook_id: str, salt: str, key: SecretStr) -> str:
    message = f"ridgeline webhook {webhook_id} {salt}".encode()
    return _written(hmac.digest(key.get_secret_value().encode(), message, "sha256"))


def _written(secret: bytes) -> str:
    return f"whsec_{base64.b64encode(secret).decode()}"


def _mark(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()[:16]
