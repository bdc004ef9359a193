from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.errors import InvalidArgument
from services.kernel.ids import new_id, parse_id


def test_a_new_id_is_a_uuid_of_version_7_and_sorts_by_the_time_it_was_made() -> None:
    made = [new_id() for _ in range(2_000)]
    assert {one.version for one in made} == {7}
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@given(st.uuids())
def test_an_id_is_read_in_its_canonical_form_whatever_the_case(one: UUID) -> None:
    assert parse_id(str(one), "id") == one
    assert parse_id(str(one).upper(), "id") == one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "not-an-id",
        "0199a0a000007000800000000000000a",
        "{0199a0a0-0000-7000-8000-00000000000a}",
        "urn:uuid:0199a0a0-0000-7000-8000-00000000000a",
        " 0199a0a0-0000-7000-8000-00000000000a",
        "0199a0a0-0000-7000-8000-00000000000a\n",
        "0199a0a0-0000-7000-8000-00000000000\u0661",
    ],
)
def test_any_other_spelling_is_refused_and_names_the_field(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_id(text, "generation_id")
    assert refused.value.field == "generation_id"
    assert text == "" or text not in refused.value.message


@given(st.text())
def test_no_text_does_anything_else_than_be_an_id_or_be_refused(text: str) -> None:
    try:
        value = parse_id(text, "id")
    except InvalidArgument:
        return
    assert str(value) == text.lower()
