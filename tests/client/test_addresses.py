"""Which addresses the embedded API listens on."""

import pytest

from client import addresses
from client.errors import StackError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_always_allowed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIDGELINE_ADMIN_KEY", raising=False)
    addresses.assert_allowed(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_address_that_others_reach_needs_a_key(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RIDGELINE_ADMIN_KEY", raising=False)
    with pytest.raises(StackError, match="RIDGELINE_ADMIN_KEY"):
        addresses.assert_allowed(host)
    monkeypatch.setenv("RIDGELINE_ADMIN_KEY", "k" * 32)
    addresses.assert_allowed(host)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_the_url_of_a_stack_can_be_reached_from_this_machine(host: str, url: str) -> None:
    assert addresses.url(host, 8000) == url


def test_port_0_is_a_free_one() -> None:
    assert addresses.claim("127.0.0.1", 0) > 0


def test_a_name_of_no_address_is_told_as_such() -> None:
    with pytest.raises(StackError, match=r"no\.such\.host\.invalid is no address of this machine"):
        addresses.claim("no.such.host.invalid", 8000)
