"""The OpenAPI 3.1 document, made from the table of routes."""

import inspect
import json
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from services.frontend_bff import problems
from services.frontend_bff.routing import Place, Route
from services.frontend_bff.schemas.answers import Problem

Json = dict[str, Any]
_Mode = Literal["validation", "serialization"]
_PARAMETERS: Final[tuple[tuple[Place, str], ...]] = (
    ("path", "path"),
    ("query", "query"),
    ("headers", "header"),
)
_TITLE: Final = "Reelgate"
_VERSION: Final = "1.0.0"
_DESCRIPTION: Final = (
    "Media generation whose results are kept. Times are RFC 3339 UTC, sizes bytes."
)


class _Plain(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - of the base
        return False  # "Media Type" says no more than "media_type"

    def default_schema(self, schema: Any) -> Json:
        described = super().default_schema(schema)
        if described.get("default", ...) is None:
            del described["default"]  # generators of clients take a default for "always there"
        return described


def document(table: Iterable[Route]) -> Json:
    """The whole document, ready for JSON."""
    rows = tuple(table)
    schemas, components = _schemas(rows)
    paths: dict[str, Json] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": _TITLE,
            "version": _VERSION,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token, or an API key (rg-…)",
                },
            },
        },
    }


def text(table: Iterable[Route]) -> str:
    """The document as it is committed and served."""
    return json.dumps(document(table), ensure_ascii=False, indent=2) + "\n"


def _schemas(rows: tuple[Route, ...]) -> tuple[dict[tuple[Any, _Mode], Json], Json]:
    wanted: list[tuple[Any, _Mode]] = [(Problem, "serialization")]
    for row in rows:
        if body := row.inputs.get("body"):
            wanted.append((body, "validation"))
        if _is_json(row.answer):
            wanted.append((row.answer, "serialization"))
    unique = list(dict.fromkeys((repr(kind), kind, mode) for kind, mode in wanted))
    found, definitions = TypeAdapter.json_schemas(
        [(name, mode, TypeAdapter(kind)) for name, kind, mode in unique],
        ref_template="#/components/schemas/{model}",
        schema_generator=_Plain,
    )
    schemas = {(kind, mode): found[name, mode] for name, kind, mode in unique}
    return schemas, definitions["$defs"]


def _is_json(answer: Any) -> bool:
    return answer is not type(None) and answer is not web.StreamResponse


def _operation(row: Route, schemas: dict[tuple[Any, _Mode], Json]) -> Json:
    summary, _, description = (inspect.getdoc(row.handler) or "").partition("\n\n")
    operation: Json = {"operationId": row.handler.__name__, "tags": [row.tag], "summary": summary}
    if description:
        operation["description"] = re.sub(r"\s+", " ", description)
    if parameters := _parameters(row):
        operation["parameters"] = parameters
    if body := row.inputs.get("body"):
        schema = schemas[body, "validation"]
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    elif row.consumes:
        content = {kind: {"schema": _bytes(kind)} for kind in row.consumes}
        operation["requestBody"] = {"required": True, "content": content}
    operation["responses"] = _responses(row, schemas)
    operation["security"] = [{"bearer": []}] if row.needs_token else []
    return operation


def _bytes(kind: str) -> Json:
    file: Json = {"type": "string", "format": "binary"}
    if kind != "multipart/form-data":
        return file
    return {"type": "object", "properties": {"file": file}, "required": ["file"]}


def _parameters(row: Route) -> list[Json]:
    parameters = []
    for place, where in _PARAMETERS:
        model = row.inputs.get(place)
        if model is None:
            continue
        schema = model.model_json_schema(schema_generator=_Plain)
        for name, described in schema["properties"].items():
            parameters.append(_parameter(name, where, described, required=_required(model, name)))
    return parameters


def _required(model: type[BaseModel], name: str) -> bool:
    return any(
        field.is_required()
        for key, field in model.model_fields.items()
        if name in (key, field.alias)
    )


def _parameter(name: str, where: str, described: Json, *, required: bool) -> Json:
    schema = dict(described)
    description = schema.pop("description", None)
    if not schema.get("default"):
        schema.pop("default", None)  # absent, which needs no saying
    if "anyOf" in schema:
        # In a text there is no null: it is absent.
        schema = next(choice for choice in schema["anyOf"] if choice.get("type") != "null")
    parameter: Json = {"name": name, "in": where, "required": required, "schema": schema}
    if description:
        parameter["description"] = description
    return parameter


def _responses(row: Route, schemas: dict[tuple[Any, _Mode], Json]) -> Json:
    good: Json = {"description": HTTPStatus(row.status).phrase}
    if _is_json(row.answer):
        schema = schemas[row.answer, "serialization"]
        good["content"] = {"application/json": {"schema": schema}}
    elif row.answer is web.StreamResponse:
        good["content"] = {row.produces: {"schema": {"type": "string"}}}
    responses: Json = {str(row.status): good}
    also = {*row.also, 401} if row.needs_token else set(row.also)
    for status in sorted(also):
        responses[str(status)] = _other(HTTPStatus(status).phrase, is_problem=status >= 400)
    responses["default"] = _other("Any other refusal", is_problem=True)
    return responses


def _other(description: str, *, is_problem: bool) -> Json:
    if not is_problem:
        return {"description": description}
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {problems.CONTENT_TYPE: {"schema": schema}}}
