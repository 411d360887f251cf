"""Nothing that can be written to the socket gets a 5xx, a bare line of text, or the server down."""

import random
from collections.abc import Iterator

import pytest

from tests.fuzz import raw


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with raw.served(tmp_path_factory.mktemp("raw")) as found:
        yield found


@pytest.mark.parametrize("name", raw.CORPUS)
def test_a_request_that_cannot_be_is_refused_with_a_problem_or_cut_off(port: int, name: str) -> None:
    assert raw.wrong(raw.answer(port, raw.CORPUS[name])) is None
    assert raw.answer(port, b"GET /healthz HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("name", ["no request", "bytes", "TLS", "a header without a colon", "two lengths"])
def test_what_is_no_http_is_told_so_by_a_problem_with_a_request_id(port: int, name: str) -> None:
    head, _, body = raw.answer(port, raw.CORPUS[name]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: req_" in head.lower()
    assert b'"code":"malformed_request"' in body


def test_requests_with_some_bytes_changed_do_no_harm(port: int) -> None:
    random_ = random.Random(1)
    spoilt = [raw.mutated(random_) for _ in range(300)]
    found = {request: wrong for request in spoilt if (wrong := raw.wrong(raw.answer(port, request)))}
    assert found == {}
