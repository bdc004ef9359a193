"""E1: what the fields of the S3 settings may hold."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.storage.configuration import fields as s3_fields

GOOD = [
    (s3_fields.address, " https://s3.example.com/ ", "https://s3.example.com"),
    (s3_fields.address, "http://10.0.0.1:9000", "http://10.0.0.1:9000"),
    (s3_fields.address, "https://cdn.example.com/media", "https://cdn.example.com/media"),
    (s3_fields.bucket, "my.bucket-1", "my.bucket-1"),
    (s3_fields.region, "eu-central-1", "eu-central-1"),
    (s3_fields.region, "auto", "auto"),
    (s3_fields.prefix, "media/works/", "media/works/"),
    (s3_fields.access_key_id, " AKIA123 ", "AKIA123"),
    (s3_fields.secret, "a/b+c=", "a/b+c="),
]
BAD = [
    (s3_fields.address, "s3.elsewhere.com"),
    (s3_fields.address, "ftp://s3.example.com"),
    (s3_fields.address, "https://user:password@s3.example.com"),
    (s3_fields.address, "https://s3.example.com?x=1"),
    (s3_fields.address, "https://s3.example.com/a b"),
    (s3_fields.address, "https://s3.example.com\r\nHost: x"),
    (s3_fields.address, "http://0x7f.1"),
    (s3_fields.bucket, "ab"),
    (s3_fields.bucket, "Upper-Case"),
    (s3_fields.bucket, "under_score"),
    (s3_fields.bucket, "-begins"),
    (s3_fields.bucket, "two..dots"),
    (s3_fields.bucket, "192.168.0.1"),
    (s3_fields.bucket, "a" * 64),
    (s3_fields.bucket, "a/../b"),
    (s3_fields.region, "eu west"),
    (s3_fields.prefix, "no-slash"),
    (s3_fields.prefix, "/media/"),
    (s3_fields.prefix, "media//works/"),
    (s3_fields.prefix, "../media/"),
    (s3_fields.prefix, ".hidden/"),
    (s3_fields.prefix, "mé/"),
    (s3_fields.prefix, "a?b/"),
    (s3_fields.prefix, "a" * 200 + "/"),
    (s3_fields.access_key_id, "with/slash"),
    (s3_fields.access_key_id, "with blank"),
    (s3_fields.secret, "with\nnewline"),
]
READERS = [
    s3_fields.address,
    s3_fields.bucket,
    s3_fields.region,
    s3_fields.prefix,
    s3_fields.access_key_id,
    s3_fields.secret,
]


@pytest.mark.parametrize(("read", "value", "meant"), GOOD)
def test_e1_good_values_are_cleaned(read: Callable[[str], str], value: str, meant: str) -> None:
    assert read(value) == meant


@pytest.mark.parametrize(("read", "value"), BAD)
def test_e1_bad_values_are_refused_without_being_repeated(
    read: Callable[[str], str], value: str
) -> None:
    with pytest.raises(ValueError, match=r"^must ") as caught:
        read(value)
    assert value not in str(caught.value)


@pytest.mark.parametrize("read", READERS)
def test_e1_nothing_is_a_value(read: Callable[[str], str]) -> None:
    assert read("") == read("  ") == ""


@given(value=st.text())
def test_e1_whatever_passes_can_stand_in_a_header_and_an_address(value: str) -> None:
    for read in READERS:
        try:
            cleaned = read(value)
        except ValueError:
            continue
        assert cleaned.isascii()
        assert cleaned == "" or cleaned.isprintable()
        assert " " not in cleaned
