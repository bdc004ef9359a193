"""What operators ask of storage: how uploads ended, what it costs, whether bytes and rows still agree."""

from datetime import datetime
from uuid import UUID

from services.kernel.context import caller, require_admin
from services.kernel.errors import PermissionDenied
from services.storage.costs import Costs, Ledger
from services.storage.store.upload_log import UploadLog, UploadRecord
from services.storage.sweeping.sweep import Sweeper
from services.storage.sweeping.tier import Counts


class Reports:
    """Who may ask, and what."""

    def __init__(self, uploads: UploadLog, ledger: Ledger, sweeper: Sweeper) -> None:
        self._uploads = uploads
        self._ledger = ledger
        self._sweeper = sweeper

    async def uploads(self, before: UUID | None, count: int) -> list[UploadRecord]:
        """Lines of the upload log, newest first. Raises PermissionDenied."""
        require_admin()
        return await self._uploads.page(before, count)

    async def costs(self, start: datetime | None, end: datetime | None) -> Costs:
        """What S3 did in that time, and what it costs a month. Raises PermissionDenied, InvalidArgument."""
        require_admin()
        return await self._ledger.costs(start, end)

    async def sweep(self, counts: Counts, *, dry_run: bool) -> None:
        """Sweeps, and says in `counts` how far it is. Raises PermissionDenied, and as Sweeper.run."""
        who = caller()
        if not (who.is_admin or who.is_service):
            raise PermissionDenied("Only an administrator or a service may start a sweep.")
        await self._sweeper.run(counts, dry_run=dry_run)
