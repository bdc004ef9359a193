"""The one vetted way out: for every address that came from outside.

Give requests whose address a *user* chose (webhooks, image URLs) a policy without private
origins; an operator's private origins are for what operators configure.
"""

from services.kernel.egress.addresses import Reach, classify, is_public
from services.kernel.egress.client import Egress, Timeouts
from services.kernel.egress.errors import EgressError, EgressFailed, EgressRefused
from services.kernel.egress.gate import Lookup, system_lookup
from services.kernel.egress.incoming import Incoming
from services.kernel.egress.policy import (
    DEFAULT_PORTS,
    Origin,
    Policy,
    origin_of,
    parse_origins,
)
from services.kernel.egress.s3 import BotocoreSettings, botocore_settings

__all__ = [
    "DEFAULT_PORTS",
    "BotocoreSettings",
    "Egress",
    "EgressError",
    "EgressFailed",
    "EgressRefused",
    "Incoming",
    "Lookup",
    "Origin",
    "Policy",
    "Reach",
    "Timeouts",
    "botocore_settings",
    "classify",
    "is_public",
    "origin_of",
    "parse_origins",
    "system_lookup",
]
