"""No URL of a tenant's leads into the operator's network, however it is written and whatever its name answers, and when."""

import ipaddress
from collections.abc import Sequence

import pytest

from service.hooks import guard
from service.hooks.guard import RefusedError

PUBLIC = "93.184.215.14"
NAMES: dict[str, Sequence[str]] = {
    "example.com": [PUBLIC, "2606:2800:21f:cb07:6820:80da:af6b:8b2c"],
    "inside.example": ["10.0.0.7"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "six.example": ["fe80::1%eth0"],
    "odd.example": [PUBLIC, "no address"],
    "empty.example": [],
    "localhost": ["127.0.0.1", "::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "redis": ["172.18.0.3"],
}


def resolve(host: str, _port: int) -> Sequence[str]:
    if host not in NAMES:
        raise OSError("no such name")
    return NAMES[host]


ODD_HOSTS = [
    "0", "1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0177.0.0.1", "00127.0.0.1", "127.0.0.01",
    "0x", "017700000001", "127.0.0.1.", "localhost.", "256.1.1.1", "1.2.3.4.5", "example.123", "example.0x7f", "a..b", ".example.com",
    "-a.example", "exa%6dple.com", "127.0.0.1%00.example.com", "1" * 64 + ".example", "a." * 130 + "example", "*.example.com", "a,b.example",
]  # fmt: skip
PRIVATE_ADDRESSES = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:93.184.215.14", "::ffff:a9fe:a9fe", "::ffff:0:7f00:1", "64:ff9b::7f00:1",
    "64:ff9b::5db8:d70e", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:5db8:d70e::1", "3fff::1", "4000::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fd12:3456:789a::1", "fe80::1", "fe80::a9fe:a9fe", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
EVIL_URLS = [
    "", " ", "/", "//example.com/", "example.com", "https:", "https://", "https:///path", "https:/example.com", "https:example.com",
    "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "data:,x",
    "unix:///run/docker.sock", "ftp://example.com:8080/", "ws://example.com:8080/", "s3://example.com:443/", "https+unix://example.com/", "ws://example.com/", "https://user@example.com/", "https://user:secret@example.com/",
    "https://@example.com/", "https://example.com@127.0.0.1/", "https://127.0.0.1#@example.com/", "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1\\@example.com/", "https://example.com/#fragment", "https://exa mple.com/", "https://example.com/ x", "https://example.com/\n",
    "https://example.com/\r\nHost: 127.0.0.1", "https://example.com/\x00", "\thttps://example.com/", "https://exämple.com/",
    "https://１２７.0.0.1/", "https://ⓔxample.com/", "https://example。com/", "https://example.com:0/", "https://example.com:22/",
    "https://example.com:25/", "https://example.com:80/", "https://example.com:1023/", "https://example.com:65536/", "https://example.com:99999/",
    "https://example.com:-1/", "https://example.com:/", "https://example.com:443:80/", "https://example.com:4a3/", "https://[::1/",
    "https://[]/", "https://[fe80::1%25eth0]/", "https://[127.0.0.1]/", "https://[::ffff:127.0.0.1]:8443/", "https://[example.com]/", "https://::1/",
    "https://inside.example/", "https://mixed.example/", "https://six.example/", "https://odd.example/", "https://empty.example/", "https://unknown.example/",
    "https://localhost/", "https://LOCALHOST/", "https://metadata.google.internal/computeMetadata/v1/", "https://redis:6379/", "https://" + "a" * 2050,
    "http:\\\\example.com", "https:\\\\127.0.0.1/", "https://example.com?@127.0.0.1/\\",
]  # fmt: skip


def written(address: str) -> str:
    return f"https://[{address}]/" if ":" in address else f"https://{address}/"


CORPUS = [*EVIL_URLS, *(f"https://{host}/" for host in ODD_HOSTS), *map(written, PRIVATE_ADDRESSES)]


@pytest.mark.parametrize("url", CORPUS)
def test_a_url_that_leads_elsewhere_than_to_the_internet_is_refused(url: str) -> None:
    with pytest.raises(RefusedError) as refused:
        guard.check(url, resolve=resolve)
    assert refused.value.code
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_a_name_that_answers_such_an_address_is_refused_as_the_address_is(address: str) -> None:
    for answer in ([address], [PUBLIC, address], [address, PUBLIC]):
        with pytest.raises(RefusedError, match="not public"):
            guard.check("https://example.com/", resolve=lambda *_, answer=answer: answer)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("HTTPS://EXAMPLE.com/Hooks?token=A%20b&x=[1]", "example.com", 443, "/Hooks?token=A%20b&x=[1]"),
        ("https://example.com?x=1", "example.com", 443, "/?x=1"),
        ("https://example.com:443/", "example.com", 443, "/"),
        ("https://example.com:8443/a/b", "example.com", 8443, "/a/b"),
        ("https://example.com/@me", "example.com", 443, "/@me"),
        (f"https://{PUBLIC}/", PUBLIC, 443, "/"),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:65535/x", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", 65535, "/x"),
    ],
)
def test_a_url_of_the_internet_is_taken_with_the_addresses_to_connect_to(url: str, host: str, port: int, path: str) -> None:
    target = guard.check(url, resolve=resolve)
    assert (target.scheme, target.host, target.port, target.path) == ("https", host, port, path)
    assert [str(address) for address in target.addresses] == (list(NAMES["example.com"]) if host == "example.com" else [host])


def test_a_name_is_resolved_once() -> None:
    asked: list[str] = []
    guard.check("https://example.com/", resolve=lambda host, _: asked.append(host) or [PUBLIC])  # type: ignore[func-returns-value]
    assert asked == ["example.com"]


def test_a_name_that_the_resolver_cannot_even_spell_is_not_there() -> None:
    def spelled(host: str, _: int) -> Sequence[str]:
        raise UnicodeError(f"label of {host} too long")

    with pytest.raises(RefusedError, match="not public"):
        guard.check("https://example.com/", resolve=spelled)


def test_that_a_name_is_not_there_and_that_it_is_inside_look_the_same() -> None:
    told = set()
    for name in ("inside.example", "unknown.example", "empty.example"):
        with pytest.raises(RefusedError) as refused:
            guard.check(f"https://{name}/", resolve=resolve)
        told.add((refused.value.code, str(refused.value)))
    assert len(told) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/", "http://localhost/", "http://[::1]:9000/", "https://inside.example/", "https://redis:6379/"]
)
def test_an_operator_can_allow_private_networks_and_http_to_this_machine(url: str) -> None:
    with pytest.raises(RefusedError):
        guard.check(url, resolve=resolve)
    assert guard.check(url, allow_private=True, resolve=resolve).addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "http://inside.example/", "https://metadata.google.internal/", "https://169.254.169.254/", "https://100.100.100.200/",
        "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://0.0.0.0/", "https://224.0.0.1/", "https://[::ffff:127.0.0.1]/",
        "https://localhost:22/", "https://255.255.255.255/",
    ],
)  # fmt: skip
def test_what_no_operator_can_allow(url: str) -> None:
    with pytest.raises(RefusedError):
        guard.check(url, allow_private=True, resolve=resolve)


@pytest.mark.parametrize("host", ODD_HOSTS)
def test_a_host_that_readers_may_take_for_another_is_refused_whatever_it_resolves_to(host: str) -> None:
    for allow_private in (False, True):
        with pytest.raises(RefusedError) as refused:
            guard.check(f"https://{host}/", allow_private=allow_private, resolve=lambda *_: [PUBLIC])
        assert refused.value.code in {"bad_host", "bad_url"}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://user@example.com/", "credentials_in_url"), ("https://example.com/#x", "bad_url"), ("https://example.com:1023/", "port_not_allowed"),
        ("https://example.com:65536/", "port_not_allowed"), ("http://example.com:8080/", "https_required"), ("https://[1.2.3.4]/", "bad_host"),
        ("https://[1::2::3]/", "bad_host"), ("https://example.com/" + "a" * 2029, "too_long"), ("https://10.0.0.1/", "address_not_public"),
    ],
)  # fmt: skip
def test_what_is_refused_is_told_by_its_code(url: str, code: str) -> None:
    with pytest.raises(RefusedError) as refused:
        guard.check(url, resolve=resolve)
    assert (refused.value.code, bool(str(refused.value))) == (code, True)


def test_ports_and_lengths_are_taken_up_to_their_bounds() -> None:
    for url in ("https://example.com:1024/", "https://example.com:65535/", "https://example.com/" + "a" * 2028):
        assert guard.check(url, resolve=resolve).addresses
    names = [".".join(["a" * 61] * 4) + tail for tail in (".bcdef", ".bcdefg")]
    label = "a" * 63
    for name, is_taken in ((names[0], True), (names[1], False), (f"{label}.example", True), (f"a{label}.example", False)):
        found = [] if is_taken else [RefusedError]
        try:
            guard.check(f"https://{name}/", resolve=lambda *_: [PUBLIC])
        except RefusedError as error:
            found.remove(type(error))
        assert found == [], name


@pytest.mark.parametrize(("url", "port"), [("http://127.0.0.1/", 80), ("https://127.0.0.1/", 443), ("http://[::1]:8080/x", 8080)])
def test_a_scheme_brings_its_port(url: str, port: int) -> None:
    assert guard.check(url, allow_private=True, resolve=resolve).port == port


PRIVATE_NETWORKS = ["127.0.0.1", "127.255.255.255", "10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255",
                    "100.64.0.0", "100.127.255.255", "::1", "fc00::", "fdff:ffff::1"]  # fmt: skip
BESIDE_THEM = ["126.255.255.255", "128.0.0.0", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0",
               "100.63.255.255", "100.128.0.0", "::", "::2", "fbff::", "fe00::", "169.254.169.254", "100.100.100.200", "fd00:ec2::254",
               "fd20:ce::254"]  # fmt: skip


def test_private_networks_end_where_their_ranges_do() -> None:
    found = {text: guard.is_private(ipaddress.ip_address(text)) for text in PRIVATE_NETWORKS + BESIDE_THEM}
    assert [text for text, private in found.items() if private] == PRIVATE_NETWORKS


def test_the_corpus_is_large_and_each_entry_is_another() -> None:
    assert len(CORPUS) == len(set(CORPUS)) > 150
    assert all(ipaddress.ip_address(address) for address in PRIVATE_ADDRESSES)
