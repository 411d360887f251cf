"""The promises of the store about API keys and what is done with them, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import select, text

from contract.errors import NotFoundError, StateConflictError
from contract.store import Store, audit, keys, tables
from contract.store.keys import Scope

DEED = audit.Deed("a", "key_1", "cancel_job", "POST", "/v1/jobs/x/cancel", 202, "req_1", "127.0.0.1")


def now(store: Store) -> float:
    with store.read() as connection:
        return store.now(connection)


def test_a_key_is_found_by_its_secret_of_which_only_the_digest_is_stored(store: Store) -> None:
    key, secret = keys.create(store, "a", "ci", [Scope.JOBS_WRITE, Scope.JOBS_READ])
    assert len(secret) == len("rk_") + 43
    found = keys.of_secret(store, secret)
    assert found is not None
    assert (found[0], found[0].is_active(found[1])) == (key, True)
    with store.read() as connection:
        stored = str(connection.execute(select(tables.api_keys)).mappings().all())
    assert secret not in stored
    assert secret[3:20] not in stored


def test_no_other_secret_finds_a_key(store: Store) -> None:
    _, secret = keys.create(store, "a", "ci", [])
    assert [keys.of_secret(store, wrong) for wrong in ("", "rk_", secret[:-1], f"{secret}x", secret.lower(), secret[3:])] == [None] * 6


def test_two_keys_of_a_name_may_be_active_and_a_third_once_one_is_revoked(store: Store) -> None:
    first, _ = keys.create(store, "a", "ci", [])
    keys.create(store, "a", "ci", [])
    with pytest.raises(StateConflictError, match=first.id):
        keys.create(store, "a", "ci", [])
    keys.create(store, "b", "ci", [])
    keys.revoke(store, "a", first.id)
    keys.create(store, "a", "ci", [])


def test_of_many_keys_of_a_name_made_at_once_two_are_made(store: Store) -> None:
    def make(_: int) -> None:
        with suppress(StateConflictError):
            keys.create(store, "a", "ci", [])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(16)))
    assert len(keys.listed(store, "a", 100)) == keys.MOST_ACTIVE


def test_a_key_that_has_expired_leaves_room_for_another(store: Store) -> None:
    for _ in range(3):
        keys.create(store, "a", "ci", [], expires_at=now(store) - 1)
    assert not keys.is_any_active(store)
    keys.create(store, "a", "ci", [], expires_at=now(store) + 60)
    assert keys.is_any_active(store)


def test_a_revoked_key_stays_revoked_since_the_first_time(store: Store) -> None:
    key, secret = keys.create(store, "a", "ci", [])
    keys.revoke(store, "a", key.id)
    at = keys.get(store, "a", key.id).revoked_at
    keys.revoke(store, "a", key.id)
    found = keys.of_secret(store, secret)
    assert found is not None
    assert found[0].revoked_at == at
    assert not found[0].is_active(0.0)


def test_another_tenants_key_is_not_found(store: Store) -> None:
    key, _ = keys.create(store, "a", "ci", [])
    for deed in (keys.get, keys.revoke):
        with pytest.raises(NotFoundError):
            deed(store, "b", key.id)
    assert keys.listed(store, "b", 10) == []
    assert keys.listed(store, None, 10) == keys.listed(store, "a", 10) == [key]


def test_the_use_of_a_key_is_written_once_a_minute(store: Store) -> None:
    key, _ = keys.create(store, "a", "ci", [])
    for at in (1000.0, 1059.0, 1060.0):
        keys.used(store, keys.get(store, "a", key.id), at)
        assert keys.get(store, "a", key.id).last_used_at == (1060.0 if at == 1060.0 else 1000.0)


def test_deeds_are_read_by_tenant_newest_first_in_pages(store: Store) -> None:
    for index, tenant in enumerate(["a", "b", "a", None]):
        audit.record(store, audit.Deed(tenant, f"key_{index}", "cancel_job", "POST", "/", 202, "req", None))
    audit.record(store, DEED)
    assert [event.deed.key_id for event in audit.listed(store, "a", 10)] == ["key_1", "key_2", "key_0"]
    newest, *_ = page = audit.listed(store, None, 2)
    assert newest.deed == DEED
    assert [event.deed.key_id for event in audit.listed(store, None, 10, page[-1].id)] == ["key_2", "key_1", "key_0"]
    assert audit.listed(store, "a", 10, actions=["submit_job"]) == []
    assert len(audit.listed(store, None, 10, key_id="key_1")) == 2


def test_deeds_are_kept_for_a_year(store: Store) -> None:
    audit.record(store, DEED)
    audit.forget(store)
    assert len(audit.listed(store, "a", 10)) == 1
    with store.write() as connection:
        connection.execute(text("UPDATE audit_events SET at = 1.0"))
    audit.forget(store)
    assert audit.listed(store, "a", 10) == []
