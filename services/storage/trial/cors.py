"""Whether a bucket lets the pages of this installation read and upload: its CORS rules."""

import json
from typing import Final

from services.storage.trial.cures import Finding, Wrong
from services.storage.trial.requests import Answer, TrialRequests

# Where our own address is not known, only a rule for everybody can be seen.
_SOME_ORIGIN: Final = "https://reelgate.example"


def rule(origin: str) -> str:
    """The rule that a bucket needs, as R2 and S3 take it."""
    needed = {
        "AllowedOrigins": [origin],
        "AllowedMethods": ["GET", "HEAD", "PUT"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["Content-Length", "Content-Range", "ETag"],
        "MaxAgeSeconds": 3600,
    }
    return json.dumps([needed])


async def look_at_cors(s3: TrialRequests, link: str, upload_url: str, page_origin: str) -> Finding:
    """Asks as a page of ours would, for a read and before an upload. Raises Wrong where it may not read."""
    origin = page_origin or _SOME_ORIGIN
    who = origin if page_origin else "any page"
    cure = f"Set this CORS rule on the bucket, and on the CDN before it: {rule(page_origin or '*')}"
    if not page_origin:
        cure += " (or set REELGATE_PUBLIC_URL for the storage service, so that it can ask for that origin)"
    answer = await s3.as_reader("GET", link, {"Origin": origin})
    if not _allows(answer, origin):
        raise Wrong(
            Finding(f"The bucket's CORS rules do not let {who} read what it answers.", cure)
        )
    preflight = await s3.as_reader(
        "OPTIONS",
        upload_url,
        {
            "Origin": origin,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type",
        },
    )
    methods = preflight.headers.get("access-control-allow-methods", "").upper()
    if not _allows(preflight, origin) or not ("PUT" in methods or "*" in methods):
        return Finding(f"The CORS rules let {who} read, but not upload.", cure)
    return Finding(f"The CORS rules let {who} read and upload.")


def _allows(answer: Answer, origin: str) -> bool:
    return answer.headers.get("access-control-allow-origin", "") in {"*", origin}
