"""The table of routes. A handler's signature is its contract.

Its parameters named `path`, `query`, `headers` and `body` are pydantic models, checked before it is
called; its answer is a TypedDict (JSON), a list of them, None (204), or a response that it made itself.
The same types make the OpenAPI document.
"""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_type_hints

from aiohttp import web
from pydantic import BaseModel, ValidationError

from services.frontend_bff.clients import Clients
from services.frontend_bff.problems import BadInput
from services.frontend_bff.schemas.answers import FieldProblem
from services.frontend_bff.sessions import Cookies

Handler = Callable[..., Awaitable[Any]]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Place = Literal["path", "query", "headers", "body"]
PLACES: Final[tuple[Place, ...]] = ("path", "query", "headers", "body")

_BODY_SECONDS: Final = 30.0


@dataclass(slots=True)
class Call:
    """One request, with what a handler needs to serve it."""

    request: web.Request
    clients: Clients
    cookies: Cookies
    stopping: asyncio.Event
    """Set when the process is to end: streams end then."""
    raw: bytes = b""
    """The body as it came."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer_cookies: list[Callable[[web.Response], None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table. `also` are the other statuses it is known to answer with."""

    method: Method
    path: str
    handler: Handler
    tag: str
    status: int
    needs_token: bool
    also: tuple[int, ...]
    produces: str
    head: bool
    inputs: Mapping[Place, type[BaseModel]]
    answer: Any
    consumes: tuple[str, ...] = ()
    """Media types of a body that the handler reads by itself."""

    async def serve(self, call: Call) -> web.StreamResponse:
        """Checks the inputs, calls the handler and writes its answer. Raises BadInput."""
        result = await self.handler(call, **await self._read(call))
        if isinstance(result, web.StreamResponse):
            return result
        response = (
            web.Response(status=self.status, headers=call.answer_headers)
            if result is None
            else web.Response(
                status=self.status,
                body=json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode(),
                headers=call.answer_headers,
                content_type="application/json",
            )
        )
        response.headers.setdefault("Cache-Control", "no-store")
        for put in call.answer_cookies:
            put(response)
        return response

    async def _read(self, call: Call) -> dict[str, BaseModel]:
        values: dict[str, BaseModel] = {}
        errors: list[FieldProblem] = []
        for place, model in self.inputs.items():
            try:
                values[place] = await _READERS[place](call, model)
            except ValidationError as problem:
                errors += _field_problems(problem)
        if errors:
            raise BadInput(errors)
        return values


class Routes:
    """Collects the rows of one resource."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.table: list[Route] = []

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A row for GET (and HEAD)."""
        return self._row("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A row for POST."""
        return self._row("POST", path, **options)

    def put(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A row for PUT."""
        return self._row("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A row for PATCH."""
        return self._row("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """A row for DELETE."""
        return self._row("DELETE", path, **options)

    def _row(
        self,
        method: Method,
        path: str,
        *,
        status: int = 200,
        needs_token: bool = True,
        also: tuple[int, ...] = (),
        produces: str = "application/json",
        head: bool = True,
        consumes: tuple[str, ...] = (),
    ) -> Callable[[Handler], Handler]:
        def put(handler: Handler) -> Handler:
            hints = get_type_hints(handler)
            inputs = {place: hints[place] for place in PLACES if place in hints}
            _call, *parameters = inspect.signature(handler).parameters
            unknown = set(parameters) - set(inputs)
            if unknown:
                raise TypeError(f"{handler.__name__}: nothing is known about {unknown}")
            row = Route(
                method,
                path,
                handler,
                self._tag,
                status,
                needs_token,
                also,
                produces,
                head and method == "GET",
                inputs,
                hints["return"],
                consumes,
            )
            self.table.append(row)
            return handler

        return put


async def _path(call: Call, model: type[BaseModel]) -> BaseModel:
    return model.model_validate(dict(call.request.match_info))


async def _query(call: Call, model: type[BaseModel]) -> BaseModel:
    given: dict[str, str] = {}
    for name, value in call.request.query.items():
        # A list can be written with commas or by repeating its name.
        given[name] = f"{given[name]},{value}" if name in given else value
    return model.model_validate(given)


async def _headers(call: Call, model: type[BaseModel]) -> BaseModel:
    names = [name.alias or key for key, name in model.model_fields.items()]
    given = call.request.headers
    return model.model_validate({name: given[name] for name in names if name in given})


async def _body(call: Call, model: type[BaseModel]) -> BaseModel:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            call.raw = await call.request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    return model.model_validate_json(call.raw)


_READERS: Final[Mapping[Place, Callable[[Call, type[BaseModel]], Awaitable[BaseModel]]]] = {
    "path": _path,
    "query": _query,
    "headers": _headers,
    "body": _body,
}


def _field_problems(problem: ValidationError) -> list[FieldProblem]:
    return [
        {
            "field": ".".join(str(part) for part in error["loc"]),
            "message": error["msg"].removeprefix("Value error, "),
        }
        for error in problem.errors(include_url=False, include_context=False, include_input=False)
    ]
