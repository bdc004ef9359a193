"""How addresses, names, passwords and refresh tokens are read."""

import unicodedata
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.passwords import password_of
from services.gateway.people import MAX_EMAIL_CHARACTERS, email_of, name_of
from services.gateway.refresh_tokens import SALT_BYTES, RefreshToken
from services.kernel.errors import InvalidArgument, Unauthenticated

SECRETS = st.binary(min_size=32, max_size=32)
TOKENS = st.builds(RefreshToken, st.uuids(), st.integers(0, 2**31 - 1), SECRETS)
SALTS = st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES)


@given(st.text(max_size=300))
def test_an_address_is_refused_or_has_the_form_that_is_kept(text: str) -> None:
    try:
        email = email_of(text)
    except InvalidArgument as error:
        assert error.field == "email"
        return
    assert email == email_of(email) == email.lower()
    assert len(email) <= MAX_EMAIL_CHARACTERS
    assert email.count("@") == 1
    assert not any(character.isspace() for character in email)
    assert email.isprintable()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (" Ada@Example.com\n", "ada@example.com"),
        ("ada+tag@sub.example.com", "ada+tag@sub.example.com"),
        ("ÅSA@exämple.se", "åsa@exämple.se"),
    ],
)
def test_an_address_is_kept_in_lower_case(written: str, kept: str) -> None:
    assert email_of(written) == kept


def test_an_address_has_at_most_254_characters() -> None:
    longest = "a" * 242 + "@example.com"
    assert email_of(longest) == longest
    with pytest.raises(InvalidArgument):
        email_of("a" + longest)


@given(st.text(max_size=200))
def test_a_name_is_refused_or_is_one_short_line(text: str) -> None:
    try:
        name = name_of(text)
    except InvalidArgument as error:
        assert error.field == "name"
        return
    assert 1 <= len(name) <= 100
    assert name.isprintable()


@given(st.text(min_size=8, max_size=128))
def test_a_password_is_the_same_in_each_form_of_unicode(text: str) -> None:
    try:
        password = password_of(text)
    except InvalidArgument:
        return
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert password_of(unicodedata.normalize(form, password)) == password


@given(TOKENS)
def test_a_refresh_token_reads_as_it_was_written(token: RefreshToken) -> None:
    assert RefreshToken.parse(token.text()) == token
    assert token.secret.hex() not in repr(token)


@given(st.text(max_size=100))
def test_what_is_no_refresh_token_is_refused(text: str) -> None:
    try:
        token = RefreshToken.parse(text)
    except Unauthenticated as error:
        assert error.reason == "BAD_REFRESH_TOKEN"
        return
    assert 0 <= token.generation < 2**31


@given(TOKENS, SALTS)
def test_the_next_token_follows_from_the_one_before_and_its_salt(
    token: RefreshToken, salt: bytes
) -> None:
    following = token.next(salt)
    assert following == token.next(salt)
    assert (following.session_id, following.generation) == (token.session_id, token.generation + 1)
    assert following.secret != token.secret
    assert following.secret != token.next(bytes(SALT_BYTES - 1) + b"\x01").secret or salt.endswith(
        b"\x01"
    )


def test_new_sessions_have_secrets_of_their_own() -> None:
    session = UUID(int=7)
    assert len({RefreshToken.first(session).secret for _ in range(100)}) == 100
