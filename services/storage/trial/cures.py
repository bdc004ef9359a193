"""What is wrong with an S3 server or its settings, in a sentence, and what to do about it, in another."""

from dataclasses import dataclass
from typing import Final, Literal

from services.storage.configuration.in_force import PRIVATE_VARIABLE
from services.storage.s3.target import S3Target
from services.storage.trial.requests import Fault

Action = Literal["connect", "list", "upload", "multipart", "read", "delete", "link"]

_VERBS: Final[dict[Action, str]] = {
    "connect": "connect",
    "list": "list the bucket",
    "upload": "store objects",
    "multipart": "store objects in parts",
    "read": "read objects",
    "delete": "delete objects",
    "link": "read the object by its link",
}
_PERMISSIONS: Final[dict[Action, str]] = {
    "connect": "s3:ListBucket",
    "list": "s3:ListBucket",
    "upload": "s3:PutObject",
    "multipart": "s3:PutObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts",
    "read": "s3:GetObject",
    "delete": "s3:DeleteObject",
    "link": "s3:GetObject",
}

Refusal = Literal[
    "signature", "key", "bucket", "clock", "elsewhere", "unable", "full", "busy", "denied"
]
# The first that knows the code, or else the status, is it.
_REFUSALS: Final[tuple[tuple[Refusal, frozenset[str], frozenset[int]], ...]] = (
    ("signature", frozenset({"SignatureDoesNotMatch"}), frozenset()),
    (
        "key",
        frozenset({"InvalidAccessKeyId", "InvalidClientTokenId", "Unauthorized"}),
        frozenset({401}),
    ),
    ("bucket", frozenset({"NoSuchBucket"}), frozenset()),
    ("clock", frozenset({"RequestTimeTooSkewed", "RequestExpired"}), frozenset()),
    (
        "elsewhere",
        frozenset({"AuthorizationHeaderMalformed", "AuthorizationQueryParametersError"})
        | frozenset({"IllegalLocationConstraintException", "IncorrectEndpoint"})
        | frozenset({"PermanentRedirect", "TemporaryRedirect"}),
        frozenset({301, 307, 308}),
    ),
    ("unable", frozenset({"NotImplemented"}), frozenset({405, 501})),
    (
        "full",
        frozenset({"InsufficientStorage", "QuotaExceeded", "StorageFull", "XMinioStorageFull"}),
        frozenset({507}),
    ),
    (
        "busy",
        frozenset({"InternalError", "ServiceUnavailable", "SlowDown", "ThrottlingException"}),
        frozenset({429, 500, 502, 503, 504}),
    ),
    ("denied", frozenset({"AccessDenied", "AllAccessDisabled"}), frozenset({403})),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen and what to do (empty: nothing); both are sentences for the operator."""

    detail: str
    cure: str = ""


class Wrong(Exception):
    """An answer came, and is not what it should be."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.detail)
        self.finding = finding


def explain(fault: Fault, action: Action, target: S3Target) -> Finding:
    """What a fault means while we tried to do this."""
    if fault.kind == "refused":
        return _link_refused(fault, target) if action == "link" else _refused(fault, action, target)
    where, field = _where(action, target)
    findings: dict[str, Finding] = {
        "address": Finding(
            f"The address of {where} is private, or none that can be allowed.",
            f"Use a public address as {field}, or name its origin in {PRIVATE_VARIABLE} of the storage service.",
        ),
        "port": Finding(
            f"The port of {where} is not allowed.",
            f"Use a standard port, or name its origin in {PRIVATE_VARIABLE} of the storage service.",
        ),
        "dns": Finding(
            f"The host name of {where} could not be resolved.",
            f"Check the spelling of {field}, and that the storage service's DNS knows the name.",
        ),
        "connect": Finding(
            f"Nothing accepts connections at {where}.",
            f"Start the server, check host and port of {field}, and that no firewall lies between.",
        ),
        "tls": Finding(
            f"No trusted TLS connection to {where} could be made.",
            "Give the server a certificate for this name from an authority that the storage service trusts, "
            "or use http:// if it speaks no TLS.",
        ),
        "timeout": Finding(
            f"{where} accepted the connection, but did not answer in time.",
            "Look whether the server hangs or is overloaded, and whether a proxy or firewall holds the request back.",
        ),
        "broken": Finding(
            f"The connection to {where} broke off, or what came was not HTTP.",
            f"Check that {field} names an S3 server and the right scheme (http or https), and look into its log.",
        ),
        "no_credentials": Finding(
            "There is no access key id, and the credential chain of the environment has no credentials either.",
            "Enter an access key id with its secret, or give the storage service a role.",
        ),
    }
    return findings[fault.kind]


def refusal_of(fault: Fault) -> Refusal | None:
    """What a server's no means, if it is one of those we know."""
    for refusal, codes, statuses in _REFUSALS:
        if fault.code in codes or fault.status in statuses:
            return refusal
    return None


def _refused(fault: Fault, action: Action, target: S3Target) -> Finding:
    said, verb = _said(fault), _VERBS[action]
    refusal = refusal_of(fault)
    if refusal is None:
        return _unknown(fault, verb, said)
    if refusal == "elsewhere":
        return _elsewhere(fault, said)
    findings: dict[Refusal, Finding] = {
        "signature": Finding(
            f"The server does not accept our signature {said}.",
            "The secret access key is not that of this access key id: enter it again. If it is right, a proxy "
            "before the server changes the Host header or the path.",
        ),
        "key": Finding(
            f"The server does not know the access key id {said}.",
            "Check the access key id, and that the endpoint is that of the provider who issued it.",
        ),
        "bucket": Finding(
            f"There is no bucket {target.bucket} at this endpoint {said}.",
            "Create the bucket, or correct its name or the endpoint.",
        ),
        "clock": Finding(
            f"Our clock and the server's differ by {abs(fault.skew_seconds):.0f} s {said}.",
            "Set the clock of the machine that storage runs on, best by NTP: "
            "the server refuses what was signed at another time.",
        ),
        "unable": Finding(
            f"The server can not {verb} {said}.",
            "Use an S3 server that has multipart uploads; everything above one part is stored with them.",
        ),
        "full": Finding(
            f"The server is out of space {said}.", "Make room, or raise the quota of the bucket."
        ),
        "busy": Finding(
            f"The server answered that it can not do it now {said}.",
            "Try again in a minute; if it stays so, look into the server's log.",
        ),
        "denied": Finding(
            f"The access key may not {verb} {said}.",
            f"Check the name of the bucket, and allow {_PERMISSIONS[action]} on {_scope(action, target)} "
            "(R2: a token with Object Read & Write for this bucket).",
        ),
    }
    return findings[refusal]


def _unknown(fault: Fault, verb: str, said: str) -> Finding:
    if fault.code:
        return Finding(
            f"The server refused to {verb} {said}.",
            "Look this code up in the documentation of the provider, and into the server's log.",
        )
    return Finding(
        f"What answers at the endpoint does not speak S3 {said}.",
        "Check the endpoint: it is the address of the S3 API, not of a console or a web page, "
        "and without the bucket.",
    )


def _elsewhere(fault: Fault, said: str) -> Finding:
    if fault.region:
        return Finding(
            f"The bucket lies in the region {fault.region} {said}.",
            f"Set the region to {fault.region}, and the endpoint to that of this region.",
        )
    return Finding(
        f"The bucket lies in another region or at another endpoint {said}.",
        "Set region and endpoint to those the provider shows for this bucket (R2: auto).",
    )


def _link_refused(fault: Fault, target: S3Target) -> Finding:
    said = _said(fault)
    if target.cdn_url:
        if fault.status in {401, 403}:
            return Finding(
                f"The CDN URL does not let readers in {said}.",
                "Make the bucket readable through it (R2: connect a custom domain or allow public access; S3: let the "
                "CDN read the bucket), or leave the CDN URL empty, so that links are signed.",
            )
        if fault.status in {404, 410}:
            return Finding(
                f"The CDN does not find the picture {said}.",
                "Point the CDN at this very bucket; its URL stands for the bucket's root, before the prefix.",
            )
        return Finding(
            f"The CDN URL does not give the picture {said}.",
            "Look into the log of the CDN, or leave the CDN URL empty, so that links are signed.",
        )
    if target.public_endpoint and fault.status != 404:
        return Finding(
            f"The public endpoint does not accept a signed link {said}.",
            "It must lead to the same server and keep Host header and path: links are signed for its name.",
        )
    return _refused(fault, "read", target)


def _where(action: Action, target: S3Target) -> tuple[str, str]:
    if action == "link" and target.cdn_url:
        return target.cdn_url, "the CDN URL"
    if action == "link" and target.public_endpoint:
        return target.public_endpoint, "the public endpoint"
    return target.endpoint, "the endpoint"


def _scope(action: Action, target: S3Target) -> str:
    if action in {"connect", "list"}:
        return target.bucket
    return f"{target.bucket}/{target.prefix}*"


def _said(fault: Fault) -> str:
    return f"({fault.code or 'no S3 error'}, status {fault.status})"
