"""The Open Inference Protocol (version 2): thin aliases over the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from recae.serve import answers, tensors
from recae.serve.answers import Asked, check_ids
from recae.serve.endpoint import ERRORS_OF_BODIES, Endpoint, path_parameter
from recae.serve.reading import media_type, parsed, read
from recae.serve.refusals import JSON, Refused, invalid, unavailable, unreadable
from recae.serve.service import Service, as_json
from recae.serve.shelf import Served
from recae.system.machine import __version__

OCTETS = "application/octet-stream"
LENGTH = "inference-header-content-length"
PARAMETERS = ("binary_data_output", "exclude_seen", "k")


class Inference:
    """The endpoints under /v2, for one service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def live(self, request: Request) -> Response:
        """GET /v2/health/live: the process answers. Needs no token."""
        return as_json({"live": True})

    async def ready(self, request: Request) -> Response:
        """GET /v2/health/ready: every model is loaded. Needs no token."""
        if self.service.closing or not self.service.shelf.names():
            wait = self.service.settings.retry_after
            raise unavailable("closing", "the service is shutting down", wait)
        return as_json({"ready": True})

    async def server(self, request: Request) -> Response:
        """GET /v2"""
        self.service.admit(request)
        about = {"name": "recae", "version": __version__, "extensions": ["binary_tensor_data"]}
        return as_json(about)

    def served(self, request: Request) -> Served:
        """The model of the address. Raises Refused (404) for another version than is loaded."""
        served = self.service.served(request.path_params["name"])
        version = request.path_params.get("version", served.version)
        if version != served.version:
            raise Refused(
                404,
                "unknown_version",
                f"the version of {served.name} is {served.version}, not {version}",
                "version",
            )
        return served

    async def model(self, request: Request) -> Response:
        """GET /v2/models/NAME"""
        self.service.admit(request)
        served = self.served(request)
        kind = served.model.items_.kind
        return as_json(
            {
                "name": served.name,
                "versions": [served.version],
                "platform": f"recae_{served.model.name}",
                "inputs": tensors.inputs_of(kind),
                "outputs": tensors.outputs_of(kind),
                "parameters": {"k": self.service.settings.usual_k, "exclude_seen": True},
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """GET /v2/models/NAME/ready: needs no token."""
        await self.ready(request)
        return as_json({"name": self.served(request).name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """POST /v2/models/NAME/infer"""
        service = self.service
        service.admit(request)
        media_type(request, (JSON, OCTETS, ""))  # clients of Triton name none
        served, deadline = self.served(request), service.deadline()
        body = await read(request, service.settings.max_batch_body, deadline)
        head, tail = _split(request, body)
        asked = parsed(tensors.InferBody, head)
        work = service.threads.run(lambda: self._answer(served, asked, tail), deadline)
        content, length = await work
        if length is None:
            return Response(content, media_type=JSON)
        return Response(content, headers={LENGTH: str(length)}, media_type=OCTETS)

    def _answer(
        self, served: Served, body: tensors.InferBody, tail: bytes
    ) -> tuple[bytes, int | None]:
        """The body of an answer, and the length of its JSON where binary tensors follow it."""
        service, kind = self.service, served.model.items_.kind
        given = body.parameters or {}
        unknown = sorted({*given} - {*PARAMETERS})
        if unknown:
            raise invalid(f"unknown parameter {unknown[0]}. Known: {', '.join(PARAMETERS)}",
                          f"parameters.{unknown[0]}")  # fmt: skip
        k, seen = given.get("k", service.settings.usual_k), given.get("exclude_seen", True)
        if type(k) is not int or k < 1:
            raise invalid("k must be an integer >= 1", "parameters.k")
        service.check_k(k, "parameters.k")
        if not isinstance(seen, bool):
            raise invalid("exclude_seen must be true or false", "parameters.exclude_seen")
        histories = tensors.histories_of(body.inputs, tail, kind, service.settings)
        for history in histories:
            check_ids(history, served, "history", service.settings.max_history)
        several = [Asked(served, history, k, seen) for history in histories]
        found = answers.recommend_together(several, [{}] * len(several))
        made = tensors.outputs_from(found, k, kind)
        return _written(served, body, made, bool(given.get("binary_data_output", False)))

    def endpoints(self) -> Sequence[Endpoint]:
        """The table of these endpoints."""
        default = self.service.shelf.get()
        name = path_parameter("name", default.name)
        version = path_parameter("version", default.version)
        kind = default.model.items_.kind
        found = [
            Endpoint("GET", "/v2/health/live", "server_live", "Whether the server runs",
                     self.live, open=True),
            Endpoint("GET", "/v2/health/ready", "server_ready", "Whether all models are loaded",
                     self.ready, errors=(503,), open=True),
            Endpoint("GET", "/v2", "server_metadata", "About the server", self.server,
                     tensors.ServerAbout, errors=(401, 503)),
        ]  # fmt: skip
        for place, suffix, given in (
            ("/v2/models/{name}", "", (name,)),
            ("/v2/models/{name}/versions/{version}", "_version", (name, version)),
        ):
            found += [
                Endpoint("GET", place, f"model_metadata{suffix}", "About a model", self.model,
                         tensors.ModelAbout, parameters=given, errors=(401, 404, 503)),
                Endpoint("GET", f"{place}/ready", f"model_ready{suffix}",
                         "Whether a model is loaded", self.model_ready, parameters=given,
                         errors=(404, 503), open=True),
                Endpoint("POST", f"{place}/infer", f"infer{suffix}",
                         "The best items for a batch of histories", self.infer, tensors.Inferred,
                         tensors.InferBody, given, ERRORS_OF_BODIES, gives=OCTETS,
                         example=tensors.example(kind)),
            ]  # fmt: skip
        return [one.with_fault(tensors.Failed) for one in found]


def _split(request: Request, body: bytes) -> tuple[bytes, bytes]:
    """The JSON of a request and the binary tensors behind it."""
    length = request.headers.get(LENGTH)
    if length is None:
        return body, b""
    if not (length.isascii() and length.isdigit() and len(length) < 19):
        raise unreadable(f"{LENGTH} must be the number of bytes of the JSON")
    if int(length) > len(body):
        raise unreadable(f"{LENGTH} is {length}, and the body has {len(body):,} bytes")
    return body[: int(length)], body[int(length) :]


def _written(
    served: Served, body: tensors.InferBody, made: dict[str, dict[str, Any]], binary: bool
) -> tuple[bytes, int | None]:
    """The answer with the outputs that are asked for, each as JSON or in binary."""
    wanted = body.outputs or [tensors.OutputWanted(name=name, parameters=None) for name in made]
    parts, outputs = [], []
    for one in wanted:
        if one.name not in made:
            raise invalid(f"unknown output {one.name}. Known: {', '.join(made)}", "outputs")
        tensor = made[one.name]
        if bool((one.parameters or {}).get("binary_data", binary)):
            raw = tensors.packed(tensor)
            tensor = {name: value for name, value in tensor.items() if name != "data"}
            tensor["parameters"] = {"binary_data_size": len(raw)}
            parts.append(raw)
        outputs.append(tensor)
    answer: dict[str, Any] = {"model_name": served.name, "model_version": served.version}
    if body.id is not None:
        answer["id"] = body.id
    head = orjson.dumps(answer | {"outputs": outputs})
    return head + b"".join(parts), len(head) if parts else None
