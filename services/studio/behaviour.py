"""The knobs of a test: how the studio shall behave until told otherwise."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.studio.errors import ApiError


class Failure(BaseModel):
    """What a render ends with; `times` renders (None: every one)."""

    model_config = ConfigDict(extra="forbid")

    code: str = "render_failed"
    message: str = "The render failed, as it was told to."
    times: Annotated[int, Field(ge=1)] | None = None


class Refusal(BaseModel):
    """The status that the next `times` submits are refused with, none of which is accepted."""

    model_config = ConfigDict(extra="forbid")

    status: int = Field(ge=400, le=599)
    times: int = Field(default=1, ge=1)
    code: str = "refused"
    message: str = "The studio was told to refuse this."
    retry_after_seconds: float | None = Field(default=None, ge=0)


def _refusal(value: Any) -> Any:
    return {"status": value} if isinstance(value, int) else value


class Plan(BaseModel):
    """What was asked of one render when it was accepted; it holds across a restart."""

    model_config = ConfigDict(frozen=True)

    render_seconds: float = 0.0
    fail_with: Failure | None = None
    expires_in_seconds: float | None = None
    synthetic_bytes: int | None = None
    instant: bool = False


class Behaviour(BaseModel):
    """Every knob and its rest position; README.md describes them."""

    model_config = ConfigDict(extra="forbid")

    render_seconds: float = Field(default=0.0, ge=0, le=3600)
    submit_delay_seconds: float = Field(default=0.0, ge=0, le=3600)
    submit_lost: bool | Annotated[int, Field(ge=0)] = False
    submit_status: Annotated[Refusal | None, BeforeValidator(_refusal)] = None
    content_bytes_per_second: int | None = Field(default=None, ge=1)
    fail_with: Failure | None = None
    expires_in_seconds: float | None = Field(default=24 * 3600.0, ge=0)
    synthetic_bytes: int | None = Field(default=None, ge=64)
    instant: bool = False

    def refuse_submit(self) -> None:
        """Raises the refusal that is due, if one is."""
        refusal = self.submit_status
        if refusal is None:
            return
        refusal.times -= 1
        if refusal.times == 0:
            self.submit_status = None
        raise ApiError(
            refusal.status,
            refusal.message,
            refusal.code,
            retry_after_seconds=refusal.retry_after_seconds,
        )

    def lose_answer(self) -> bool:
        """Whether the submit that was just accepted gets no answer."""
        if self.submit_lost is True:
            return True
        left = int(self.submit_lost)
        if left > 0:
            self.submit_lost = left - 1 or False
        return left > 0

    def plan(self) -> Plan:
        """What the render that was just accepted shall do."""
        failure = self.fail_with
        if failure is not None and failure.times is not None:
            left = failure.times - 1
            self.fail_with = failure.model_copy(update={"times": left}) if left else None
        return Plan(
            render_seconds=self.render_seconds,
            fail_with=failure,
            expires_in_seconds=self.expires_in_seconds,
            synthetic_bytes=self.synthetic_bytes,
            instant=self.instant,
        )
