"""The application: routes, and what becomes of errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from recae.errors import RecaeError, StoreError
from recae.serve import openapi
from recae.serve.inference import Inference
from recae.serve.pages import add_page
from recae.serve.refusals import Refused, explained, response, unavailable
from recae.serve.service import Service
from recae.serve.settings import Settings
from recae.serve.shelf import Shelf
from recae.serve.stores import HistoryStore
from recae.system.machine import __version__

WORDS = {404: "not_found", 405: "method_not_allowed"}


def create_app(
    shelf: Shelf, *, store: HistoryStore | None = None, settings: Settings | None = None
) -> FastAPI:
    """The service as a FastAPI application; `app.state.service` is its `Service`.

    Add pure ASGI middleware with `app.add_middleware`: the last one added sees a request first.
    """
    service = Service(shelf, store, settings or Settings())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.closing = True
        service.threads.close()

    # Swagger UI and ReDoc would load scripts from other hosts.
    app = FastAPI(
        title="recae", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        openapi_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.service = service
    for route in openapi.routes(service):
        app.router.routes.append(route)
    app.router.routes.append(Route("/v2/", Inference(service).server, methods=["GET"]))
    add_page(app)
    app.router.routes.append(Route("/openapi.json", _schema, methods=["GET"], name="openapi"))
    made: dict[str, Any] = {}

    def schema() -> dict[str, Any]:
        version = shelf.get().version  # the examples name it
        if version not in made:  # it takes 50 ms, and anybody may ask for it
            made.clear()
            made[version] = openapi.schema(app, service.settings)
        found: dict[str, Any] = made[version]
        return found

    app.openapi = schema  # type: ignore[method-assign]
    app.add_exception_handler(Refused, _refused)  # type: ignore[arg-type]
    app.add_exception_handler(RecaeError, _of_recae)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _of_starlette)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _unexpected)
    return app


async def _schema(request: Request) -> Response:
    return JSONResponse(request.app.openapi())


def _form(request: Request, refused: Refused) -> Response:
    protocol = request.url.path.startswith("/v2")
    if protocol and refused.status == 422:  # the protocol knows 400 only
        refused.status = 400
    return response(refused, protocol)


async def _refused(request: Request, error: Refused) -> Response:
    return _form(request, error)


async def _of_recae(request: Request, error: RecaeError) -> Response:
    if isinstance(error, StoreError):
        wait = max(1, round(error.retry_after))
        return _form(request, unavailable("store", str(error), wait))
    return _form(request, explained(error))


async def _of_starlette(request: Request, error: HTTPException) -> Response:
    code = WORDS.get(error.status_code, "refused")
    message = f"{error.detail}: {request.method} is not possible there; see /openapi.json"
    return _form(request, Refused(error.status_code, code, message, headers=error.headers))


async def _unexpected(request: Request, error: Exception) -> Response:
    # The server logs the traceback; a client learns nothing of it.
    return _form(request, Refused(500, "internal", "the service failed; its log says why"))


__all__: list[Any] = ["create_app"]
