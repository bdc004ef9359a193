"""Addresses of one database for several users."""

from deploy.local.databases import address_for


def test_host_name_and_options_of_an_address_are_kept_for_another_user() -> None:
    url = "postgresql://admin:se%40cret@db.example:6432/films?sslmode=require"
    assert (
        address_for(url, "quota", "p@ss/word")
        == "postgresql://quota:p%40ss%2Fword@db.example:6432/films?sslmode=require"
    )


def test_an_address_without_a_user_gets_one() -> None:
    assert address_for("postgresql://db.example/films", "quota", "x") == (
        "postgresql://quota:x@db.example/films"
    )
