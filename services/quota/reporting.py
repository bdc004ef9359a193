"""The rules of looking at what users hold and at what became of their runs."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from services.kernel.context import caller, require_admin
from services.kernel.errors import InvalidArgument, PermissionDenied
from services.quota.asking import LARGEST_PAGE_SIZE, page_of, user_of
from services.quota.model import DailyUsage, Usage
from services.quota.store.reports import ReportStore

_LONGEST: Final = timedelta(days=366)


class Reporting:
    """Pages for those who look after users, and for users themselves."""

    def __init__(self, store: ReportStore) -> None:
        self._store = store

    async def usages(
        self, after: UUID | None, page_size: int
    ) -> tuple[Sequence[Usage], UUID | None]:
        """A page of users by id, and the id after which the next page begins (None: this is the last one)."""
        require_admin()
        size = page_of(page_size)
        usages = await self._store.usages(after, size + 1)
        more = len(usages) > size
        return usages[:size], usages[size - 1].quota.user_id if more else None

    async def usages_of(self, user_ids: Sequence[UUID]) -> Sequence[Usage]:
        """One for each of these users, in this order. Raises InvalidArgument for more than 100."""
        require_admin()
        if len(user_ids) > LARGEST_PAGE_SIZE:
            raise InvalidArgument(f"Ask for at most {LARGEST_PAGE_SIZE} users.", field="user_ids")
        return await self._store.usages_of(user_ids)

    async def days(
        self,
        user_id: UUID | None,
        first: date,
        last: date,
        after: tuple[date, UUID] | None,
        page_size: int,
    ) -> tuple[Sequence[DailyUsage], tuple[date, UUID] | None]:
        """A page of days with runs from `first` to `last`, by day and user, and after which the next page begins.

        `user_id` None: of all users for an administrator, of himself for anybody else. Raises
        PermissionDenied for somebody else's, InvalidArgument for more than 366 days.
        """
        who = caller()
        if not who.is_admin:
            user_id = user_id or user_of(who)
            if user_id != user_of(who):
                raise PermissionDenied("You can only see your own.")
        if not timedelta(0) <= last - first < _LONGEST:
            raise InvalidArgument(
                f"Ask for 1 to {_LONGEST.days} days, the first of them first.", field="last_date"
            )
        if after is not None and not first <= after[0] <= last:
            raise InvalidArgument("page_token is of other days.", field="page_token")
        size = page_of(page_size)
        days = await self._store.days(user_id, first, last, after, size + 1)
        more = len(days) > size
        return days[:size], (days[size - 1].day, days[size - 1].user_id) if more else None
