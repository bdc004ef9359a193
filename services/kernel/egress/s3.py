"""S3 clients behind the same gate."""

from typing import Any, TypedDict

from services.kernel.egress.gate import Gate, Lookup, system_lookup
from services.kernel.egress.policy import Policy


class BotocoreSettings(TypedDict):
    """Keyword arguments for `aiobotocore.config.AioConfig`."""

    connector_args: dict[str, Any]
    proxies: dict[str, str]


def botocore_settings(
    policy: Policy,
    endpoint: str | None,
    *,
    bucket: str | None = None,
    lookup: Lookup = system_lookup,
) -> BotocoreSettings:
    """Let an S3 client connect only where `policy` allows: `AioConfig(**botocore_settings(…))`.

    `endpoint` None is AWS itself. Name the `bucket` if requests go to `bucket.endpoint`, so that
    an allowed private endpoint is allowed under that name too. IP literals and the redirects the
    client follows by itself meet the same gate. Raises EgressRefused for the endpoint; later
    refusals reach the caller as the client's HTTPClientError, the EgressRefused as its context.
    """
    hosts: frozenset[tuple[str, int]] = frozenset()
    if endpoint is not None:
        target, private = policy.judge(endpoint)
        if private:
            host, port = target.origin.host, target.origin.port
            names = [host, f"{bucket}.{host}"] if bucket else [host]
            hosts = frozenset((name, port) for name in names)
    gate = Gate(lambda host, port: (host, port) in hosts, lookup)
    return {
        "connector_args": {
            "resolver": gate,
            "socket_factory": gate.open,
            "use_dns_cache": False,
        },
        "proxies": {},  # None would take them from the environment
    }
