"""E1: what an administrator's form says about S3 is understood, or the field that is wrong is named."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.kernel.errors import InvalidArgument
from services.storage.configuration.form import S3Form, understood
from services.storage.configuration.in_force import S3InForce
from services.storage.s3.target import Delivery

FORM = S3Form(
    enabled=True,
    endpoint="https://s3.example.com",
    public_endpoint="",
    region="",
    bucket="media",
    access_key_id="",
    secret_access_key="",
    prefix="",
    path_style=False,
    cdn_url="",
    delivery=Delivery.REDIRECT,
    etag="",
)
IN_FORCE = cast("S3InForce", cast("Any", SimpleNamespace(trusted=frozenset())))


@pytest.mark.parametrize("field", ["endpoint", "public_endpoint"])
@pytest.mark.parametrize(
    "number", ["http://192.168.1.5:9000", "https://[2001:db8::1]", "http://8.8.8.8"]
)
def test_e1_a_bucket_name_can_not_stand_before_an_ip_address(field: str, number: str) -> None:
    changed: dict[str, Any] = {field: number}
    with pytest.raises(InvalidArgument) as caught:
        understood(replace(FORM, **changed), IN_FORCE)
    assert caught.value.field == "force_path_style"
    assert understood(replace(FORM, path_style=True, **changed), IN_FORCE).target.path_style


def test_e1_a_bucket_name_stands_before_a_name() -> None:
    target = understood(FORM, IN_FORCE).target
    assert target.object_url(target.endpoint, "key") == "https://media.s3.example.com/key"
