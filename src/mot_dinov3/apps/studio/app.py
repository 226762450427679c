"""The web application: routes, access control and static files, on Starlette."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from mot_dinov3.apps.studio import access
from mot_dinov3.apps.studio.access import OutsideRootsError
from mot_dinov3.apps.studio.jobs import Job
from mot_dinov3.apps.studio.requests import ConflictError, Request
from mot_dinov3.apps.studio.routes import (
    correction_routes,
    file_routes,
    gallery_routes,
    keypoint_routes,
    registry_routes,
    registry_search,
    similarity_routes,
    tracking_routes,
)
from mot_dinov3.apps.studio.session import Handler, Routes, Studio
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import InputError, MotError

BODY_BYTES = 8_000_000
STATIC = importlib.resources.files("mot_dinov3.apps.studio") / "static"

ROUTES: Routes = {
    **file_routes.ROUTES,
    **tracking_routes.ROUTES,
    **correction_routes.ROUTES,
    **gallery_routes.ROUTES,
    **keypoint_routes.ROUTES,
    **similarity_routes.ROUTES,
    **registry_routes.ROUTES,
    **registry_search.ROUTES,
}

log = logging.getLogger(__name__)


def build_app(studio: Studio, token: str | None) -> Starlette:
    """Return the application.

    Args:
        studio: The session that it serves.
        token: Token that every request carries; None where only this computer can reach it.
    """
    routes = [Route(path, _endpoint(studio, handler), methods=[method]) for (method, path), handler in ROUTES.items()]
    static = StaticFiles(directory=str(STATIC))

    @contextlib.asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(studio.close)  # here, not after the server: a termination signal ends the process there

    return Starlette(
        routes=[Route("/", _page), *routes, Mount("/static", static)],
        middleware=[Middleware(AccessMiddleware, token=token)],
        lifespan=running,
    )


async def _page(request: HttpRequest) -> Response:
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    return Response(text, media_type="text/html")


def _endpoint(studio: Studio, handler: Handler) -> Callable[[HttpRequest], Any]:
    async def answer(request: HttpRequest) -> Response:
        try:
            values = dict(request.query_params) if request.method == "GET" else await _body(request)
            return _response(await run_in_threadpool(handler, studio, Request(values)))
        except MotError as error:
            return _error_response(error)

    return answer


async def _body(request: HttpRequest) -> dict[str, Any]:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_BYTES:
            raise InputError("the request is too large")
    try:
        values = json.loads(bytes(data))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InputError("the request is not a JSON object")
    return values


def _response(answer: dict[str, Any] | Response | Job) -> Response:
    if isinstance(answer, Response):
        return answer
    return JSONResponse({"job": answer.to_json()} if isinstance(answer, Job) else answer)


def _error_response(error: MotError) -> Response:
    status = 403 if isinstance(error, OutsideRootsError) else 409 if isinstance(error, ConflictError) else 400
    return JSONResponse({"error": error.message, "remedy": error.remedy}, status)


class AccessMiddleware(BaseHTTPMiddleware):
    """Refuses requests that do not come from the studio's own page, and adds security headers to every answer.

    Args:
        app: The application behind it.
        token: See `build_app`.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        super().__init__(app)
        self._token = token

    @override
    async def dispatch(self, request: HttpRequest, call_next: RequestResponseEndpoint) -> Response:
        response = self._refusal(request) or await call_next(request)
        for name, value in {"cache-control": "no-store", **access.HEADERS}.items():
            response.headers.setdefault(name, value)
        return response

    def _refusal(self, request: HttpRequest) -> Response | None:
        why = access.refusal(request.method, request.url.path, request.headers, token=self._token)
        if why:
            log.warning("refused %s %s: %s", request.method, request.url.path, why)
            return JSONResponse({"error": why, "remedy": ""}, 403)
        if self._token is None or access.has_token(request.cookies.get(access.COOKIE), self._token):
            return None
        if request.url.path == "/" and access.has_token(request.query_params.get("token"), self._token):
            arrived = RedirectResponse("/", 303)
            arrived.set_cookie(access.COOKIE, self._token, httponly=True, samesite="strict")
            return arrived
        why = "this page needs the token: open the address that the studio printed when it started"
        return JSONResponse({"error": why, "remedy": ""}, 401)
