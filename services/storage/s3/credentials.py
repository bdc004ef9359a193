"""The keys that requests to S3 are signed with."""

from aiobotocore.session import get_session
from botocore.credentials import ReadOnlyCredentials

from services.storage.objects import Tier
from services.storage.ports import TierFailed
from services.storage.s3.target import S3Target


class S3Credentials:
    """Those of the settings, or those of the SDK's chain, which change."""

    def __init__(self, target: S3Target) -> None:
        self._session = get_session()
        self._fixed = (
            ReadOnlyCredentials(target.access_key_id, target.secret_access_key, None)
            if target.access_key_id
            else None
        )

    async def now(self) -> ReadOnlyCredentials:
        """The keys in force now. Raises TierFailed when the chain has none."""
        if self._fixed is not None:
            return self._fixed
        found = await self._session.get_credentials()
        if found is None:
            raise TierFailed(Tier.S3, "refused", "the credential chain has no credentials")
        frozen: ReadOnlyCredentials = await found.get_frozen_credentials()
        return frozen
