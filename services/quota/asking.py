"""What every request has to keep to: who asks, and for how much."""

from typing import Final
from uuid import UUID

from services.kernel.context import Caller, caller, require_service
from services.kernel.errors import InvalidArgument, PermissionDenied, ResourceExhausted
from services.quota.model import LARGEST_AMOUNT

DEFAULT_PAGE_SIZE: Final = 20
LARGEST_PAGE_SIZE: Final = 100


def user_of(who: Caller) -> UUID:
    """The user a token speaks for. Raises PermissionDenied when it is nobody."""
    try:
        return UUID(who.subject)
    except ValueError:
        raise PermissionDenied("This token speaks for no user.") from None


def visible_user(user_id: UUID | None) -> UUID:
    """Whom the caller wants to see (None: himself). Raises PermissionDenied when he may not."""
    who = caller()
    wanted = user_id or user_of(who)
    if not (who.is_admin or who.is_service) and wanted != user_of(who):
        raise PermissionDenied("You can only see your own.")
    return wanted


def require_service_for(user_id: UUID) -> Caller:
    """The caller, which is one of our services acting for this user. Raises PermissionDenied otherwise."""
    who = require_service()
    if user_of(who) != user_id:
        raise PermissionDenied("The token speaks for another user.")
    return who


def require_admin_or_service_for(user_id: UUID) -> Caller:
    """The caller: an administrator, or one of our services acting for this user. Raises PermissionDenied otherwise."""
    who = caller()
    return who if who.is_admin else require_service_for(user_id)


def check_amount(value: int, field: str, *, least: int = 0) -> None:
    """Raises InvalidArgument for an amount that can not be meant."""
    if not least <= value <= LARGEST_AMOUNT:
        raise InvalidArgument(
            f"{field} must be between {least} and {LARGEST_AMOUNT}, not {value}.", field=field
        )


def page_of(page_size: int) -> int:
    """How many entries a page shall have. Raises InvalidArgument."""
    if not 0 <= page_size <= LARGEST_PAGE_SIZE:
        raise InvalidArgument(f"A page has 1 to {LARGEST_PAGE_SIZE} entries.", field="page_size")
    return page_size or DEFAULT_PAGE_SIZE


def insufficient(balance: int, price: int) -> ResourceExhausted:
    """The refusal of a price that a user can not pay."""
    return ResourceExhausted(
        f"Not enough credits: {price} are needed, {balance} are left.",
        reason="INSUFFICIENT_CREDITS",
        metadata={"balance": str(balance), "price": str(price)},
    )
