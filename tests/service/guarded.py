"""A service that asks for keys, with two tenants, for the tests of access."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr

from contract.settings import Settings
from contract.store import Store, keys
from contract.store.keys import Key, Scope
from service.app import create_app

OPERATOR = "operator-operator-operator-operator"


@dataclass
class Guarded:
    """The service, and a key for whoever is named."""

    http: httpx.AsyncClient
    store: Store
    keys: dict[tuple[str, tuple[Scope, ...]], tuple[Key, str]] = field(default_factory=dict)

    def key(self, tenant: str, *scopes: Scope) -> tuple[Key, str]:
        """The key of the tenant with these scopes, and its secret."""
        if (tenant, scopes) not in self.keys:
            self.keys[tenant, scopes] = keys.create(self.store, tenant, f"key {len(self.keys)}", scopes)
        return self.keys[tenant, scopes]

    async def ask(self, secret: str | None, method: str, path: str, **options: Any) -> httpx.Response:
        headers = dict(options.pop("headers", {})) | ({} if secret is None else {"Authorization": f"Bearer {secret}"})
        return await self.http.request(method, path, headers=headers, **options)

    async def as_(self, tenant: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask with the tenant's admin key."""
        return await self.ask(self.key(tenant, Scope.ADMIN)[1], method, path, **options)


@asynccontextmanager
async def guarded(settings: Settings, serve: Any, **changes: Any) -> AsyncIterator[Guarded]:
    """The service of the settings, with keys."""
    changed = settings.model_copy(update={"auth": "keys", "admin_key": SecretStr(OPERATOR), **changes})
    store = Store(settings.database_url)
    try:
        async with serve(create_app(changed)) as http:
            yield Guarded(http, store)
    finally:
        store.close()
