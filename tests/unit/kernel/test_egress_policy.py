"""An address from outside is read in one way only, and judged before anything is resolved."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kernel.egress import EgressRefused, Origin, Policy, origin_of, parse_origins
from services.kernel.egress.policy import read_url

ANY_PORT = Policy(ports=None)


@pytest.mark.parametrize(
    "host",
    [
        # not canonical: some programs read these as 127.0.0.1, others as a name
        "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "0X7F000001", "2130706433",
        "017700000001", "127.0.0.1.", "127.000.000.001", "127.0.0.0x1", "1.2.3.4.5", "256.1.1.1",
        "0", "0x", "4294967296", "foo.127", "foo.0x7f", "２１３０７０６４３３",
        # canonical, and private
        "127.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "0.0.0.0", "10.0.0.1",
        "169.254.169.254", "192.168.1.1", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:169.254.169.254]", "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "[fe80::1]", "[fd00:ec2::254]",
        # scopes, encodings, users, separators, controls
        "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "%31%32%37.0.0.1", "127%2e0.0.1",
        "user@127.0.0.1", "user:pass@example.com", "@example.com", "example.com@127.0.0.1",
        "example.com\\@127.0.0.1", "127.0.0.1\\example.com", "exa mple.com", "example.com\t",
        "exam\nple.com", "exam\0ple.com", "example.com\r\nHost: x", "\u2028example.com",
        "", ".", "..", "a..b", "example.com..", "[127.0.0.1]", "[::1]x", "::1", "[::1",
        "localhost\u00ad", "a" * 64 + ".com", ".".join(["abc"] * 70),
        "example.com:", "example.com:0", "example.com:99999", "example.com:８０",
        "example.com:80:80", "example.com:-1", "example.com:+80", "[v1.x]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
def test_a_host_that_is_private_or_can_be_read_in_two_ways_is_refused(
    scheme: str, host: str
) -> None:
    with pytest.raises(EgressRefused) as refused:
        ANY_PORT.judge(f"{scheme}://{host}/x")
    assert refused.value.sent is False
    assert "127" not in str(refused.value), "the message of a user names no address"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com:80/_x", "data:,x",
        "javascript:alert(1)", "unix:///run/x", "tcp://example.com", "ws://example.com/",
        "//example.com/", "/x", "example.com", "http:example.com", "http:/example.com",
        "http:///example.com", "http:\\\\example.com", "http:// example.com", " http://a.b/",
        "http://a.b/\r\nX: y", "http://a.b/\x00", "http://a.b/\udcff", "http://?", "http://#@a.b",
        "", "http://a.b/" + "x" * 20_000,
    ],
)  # fmt: skip
def test_what_is_no_plain_http_address_is_refused(url: str) -> None:
    with pytest.raises(EgressRefused) as refused:
        ANY_PORT.judge(url)
    assert refused.value.reason == "url"


@pytest.mark.parametrize(
    ("url", "sent_as"),
    [
        ("https://Example.COM", "https://example.com/"),
        ("https://example.com.:443?q", "https://example.com/?q"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://a.example/a%2fb/%7E/../x?s=a+b%3d&t=%41#f",
         "https://a.example/a%2fb/%7E/../x?s=a+b%3d&t=%41"),
        ("https://a.example/ü b?ö", "https://a.example/%C3%BC%20b?%C3%B6"),
        ("https://a.example/?u=http://x@127.0.0.1/", "https://a.example/?u=http://x@127.0.0.1/"),
        ("http://1.1.1.1:8080/", "http://1.1.1.1:8080/"),
        ("http://[2606:4700:0:0::1111]/", "http://[2606:4700::1111]/"),
    ],
)  # fmt: skip
def test_a_public_address_is_requested_as_written(url: str, sent_as: str) -> None:
    target, private = Policy().judge(url)
    assert str(target.url) == sent_as
    assert not private


@given(st.text(max_size=40))
@settings(max_examples=600, deadline=None)
def test_any_host_is_refused_or_read_as_the_very_host_that_is_requested(host: str) -> None:
    try:
        target = read_url(f"http://{host}/")
    except EgressRefused:
        return
    assert target.url.raw_host == target.origin.host
    assert target.url.user is None
    assert target.origin.host.isascii()


def test_only_configured_ports_are_reached() -> None:
    with pytest.raises(EgressRefused) as refused:
        Policy().judge("http://example.com:22/")
    assert refused.value.reason == "port"
    assert Policy(ports=frozenset({8000})).judge("http://example.com:8000/")
    with pytest.raises(EgressRefused, match="port"):
        Policy(ports=frozenset({8000})).judge("http://example.com/")


def test_https_only_refuses_http_even_for_an_allowed_origin() -> None:
    policy = Policy(private=parse_origins("http://127.0.0.1:9000"), https_only=True)
    with pytest.raises(EgressRefused, match="https"):
        policy.judge("http://127.0.0.1:9000/")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:9000/", "http://127.0.0.1/", "http://127.0.0.1:9001/",
        "http://127.0.0.2:9000/", "http://127.1:9000/", "http://2130706433:9000/",
        "http://[::ffff:127.0.0.1]:9000/", "http://x@127.0.0.1:9000/", "http://127.0.0.1.:9000/",
    ],
)  # fmt: skip
def test_an_allowed_private_origin_is_exact(url: str) -> None:
    policy = Policy(private=parse_origins("http://127.0.0.1:9000"), ports=None)
    assert policy.judge("http://127.0.0.1:9000/any")[1] is True
    with pytest.raises(EgressRefused):
        policy.judge(url)


def test_one_request_can_allow_an_origin_more() -> None:
    origin = origin_of("http://10.0.0.7:8000/v1/videos")
    assert Policy().judge("http://10.0.0.7:8000/result", frozenset({origin}))[1] is True
    with pytest.raises(EgressRefused):
        Policy().judge("http://10.0.0.7:8000/result")


def test_metadata_is_refused_even_if_its_origin_is_allowed() -> None:
    origin = Origin("http", "169.254.169.254", 80)
    with pytest.raises(EgressRefused, match="public"):
        Policy(private=frozenset({origin})).judge("http://169.254.169.254/latest/meta-data")


def test_a_list_of_origins_is_read() -> None:
    assert parse_origins(" http://127.0.0.1:9000, https://MINIO.lan/ ,,http://[::1]:81") == {
        Origin("http", "127.0.0.1", 9000),
        Origin("https", "minio.lan", 443),
        Origin("http", "::1", 81),
    }
    assert parse_origins(" ") == frozenset()
    assert str(Origin("http", "::1", 81)) == "http://[::1]:81"


@pytest.mark.parametrize(
    "bad",
    ["127.0.0.1:9000", "http://a.b/x", "http://a.b?x", "http://a.b/#", "http://u@a.b",
     "http://10.1", "*", "http://169.254.169.254", "http://[fe80::1]", "http://10.0.0.0/8"],
)  # fmt: skip
def test_a_bad_list_of_origins_names_the_bad_piece(bad: str) -> None:
    with pytest.raises(ValueError, match=r"origin|allowed") as wrong:
        parse_origins(f"https://minio.lan,{bad}")
    assert repr(bad) in str(wrong.value)
