"""What can go wrong with an outgoing request.

`str(error)` is a plain sentence without any address: it may be shown to a user. `error.detail`
names hosts, resolved addresses and the driver's words: it is for the operator's log only.
"""

from typing import Final, Literal

Refusal = Literal["url", "scheme", "port", "address", "downgrade"]
Failure = Literal["dns", "connect", "tls", "timeout", "reset", "protocol", "redirects"]

_REFUSALS: Final[dict[Refusal, str]] = {
    "url": "the address is not a plain http(s) address",
    "scheme": "only https addresses may be used here",
    "port": "the port of the address is not allowed",
    "address": "the address does not lie in the public internet and is not allowed",
    "downgrade": "the server redirects from https to http",
}
_FAILURES: Final[dict[Failure, str]] = {
    "dns": "the host name could not be resolved",
    "connect": "the server could not be connected to",
    "tls": "no trusted TLS connection to the server could be made",
    "timeout": "the server did not answer in time",
    "reset": "the connection was lost before the answer was complete",
    "protocol": "the server's answer is not valid HTTP",
    "redirects": "the server redirects without end",
}


class EgressError(Exception):
    """An outgoing request that brought no answer.

    `sent` is False only if it is certain that no byte of the request left for a server, so that
    repeating it elsewhere cannot do the work twice. True means that it may have arrived.
    """

    def __init__(self, message: str, *, detail: str, sent: bool) -> None:
        super().__init__(message)
        self.detail = detail
        self.sent = sent


class EgressRefused(EgressError):
    """We do not connect there: the address breaks a rule (`reason`)."""

    def __init__(self, reason: Refusal, *, detail: str, sent: bool = False) -> None:
        super().__init__(_REFUSALS[reason], detail=detail, sent=sent)
        self.reason: Final = reason


class EgressFailed(EgressError):
    """The connection or the server failed (`kind`).

    dns, connect and tls never sent a byte of the request, unless it followed a redirect; the
    others may have. `timeout` is silence after the connection stood, `reset` a lost connection
    or a body that ended early, `protocol` an answer that is not HTTP.
    """

    def __init__(self, kind: Failure, *, detail: str, sent: bool) -> None:
        super().__init__(_FAILURES[kind], detail=detail, sent=sent)
        self.kind: Final = kind
