"""Bodies and texts as nobody should send them, and some as he should."""

from hypothesis import strategies as st

from tests.contract.frontend_bff.messages import GROUP, OBJECT

_nasty = st.sampled_from(
    [
        "\0",
        "\ud800",
        "\udfff\ud800",
        "🗼",
        "\u202e",
        "a" * 40_000,
        "../..",
        "NaN",
        "1e999",
        "-0",
        "",
        "%00",
    ]
)
_texts = st.one_of(st.text(max_size=20), _nasty, st.text(alphabet=st.characters(), max_size=5))
_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(10**15, 10**40), st.floats(), _texts
)
values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_texts, inner, max_size=4)
    ),
    max_leaves=12,
)
_fields = {
    "model": st.one_of(st.just("m"), values),
    "prompt": st.one_of(st.just("p"), values),
    "media_type": st.one_of(st.sampled_from(["video", "image"]), values),
    "orientation": st.one_of(st.just("landscape"), values),
    "duration_seconds": st.one_of(st.integers(1, 25), st.floats(), values),
    "n": st.one_of(st.integers(), values),
    "parameters": st.one_of(st.dictionaries(_texts, values, max_size=4), values),
    "image_url": values,
    "input_object_ids": st.one_of(st.lists(st.just(OBJECT), max_size=3), values),
    "cache": st.one_of(st.just("prefer"), values),
}
bodies = st.one_of(
    st.fixed_dictionaries(
        {"model": st.just("m"), "prompt": st.just("p")},
        optional={
            name: value for name, value in _fields.items() if name not in ("model", "prompt")
        },
    ),
    st.fixed_dictionaries({}, optional=_fields),
    values,
)
_s3_fields = {
    **dict.fromkeys(("enabled", "force_path_style"), st.one_of(st.booleans(), values)),
    **dict.fromkeys(
        ("endpoint", "public_endpoint", "region", "bucket", "access_key_id", "prefix", "cdn_url"),
        st.one_of(st.just("https://s3.example"), values),
    ),
    "secret_access_key": st.one_of(st.none(), st.just("s"), values),
    "delivery": st.one_of(st.sampled_from(["redirect", "proxy"]), values),
    "etag": st.one_of(st.just("e"), values),
    "leave_objects_behind": st.one_of(st.booleans(), values),
}
_s3_needed = ("enabled", "endpoint", "region", "bucket", "etag")
s3_bodies = st.one_of(
    st.fixed_dictionaries(
        {
            "enabled": st.just(True),
            **{name: st.just("s3.example") for name in _s3_needed if name != "enabled"},
        },
        optional={name: value for name, value in _s3_fields.items() if name not in _s3_needed},
    ),
    st.fixed_dictionaries({}, optional=_s3_fields),
    values,
)
_limits = st.one_of(st.integers(-3, 3), st.integers(), values)
_ids = st.one_of(st.just(GROUP), st.none(), values)
_whole = st.one_of(st.integers(), values)
_people_fields = {
    "email": st.one_of(st.just("a@b.org"), values),
    "password": st.one_of(st.just("correct horse"), values),
    "role": st.one_of(st.sampled_from(["user", "admin"]), values),
    "group_id": _ids,
    "disabled": st.one_of(st.booleans(), values),
    "name": st.one_of(st.just("team"), values),
    "quota_limit_bytes": _limits,
}
people_bodies = st.one_of(st.fixed_dictionaries({}, optional=_people_fields), values)
grant_bodies = st.one_of(
    st.fixed_dictionaries(
        {"amount": _whole, "reason": st.one_of(st.just("why"), values)},
        optional={"request_id": _ids},
    ),
    values,
)
times = st.datetimes(timezones=st.timezones()).map(
    lambda moment: moment.isoformat(timespec="seconds")
)
price_bodies = st.one_of(
    st.fixed_dictionaries(
        {
            "prices": st.lists(
                st.fixed_dictionaries(
                    {"model": st.one_of(st.just("m"), values), "credits": _whole},
                    optional={
                        "duration_seconds": _whole,
                        "effective_at": st.one_of(st.none(), times, values),
                    },
                ),
                max_size=3,
            )
        }
    ),
    values,
)
header_texts = st.text(
    alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"),
    max_size=40,
)
