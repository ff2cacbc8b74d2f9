"""The page at `/`: static files of the package, with headers that let it run nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

KINDS = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""Of each file. A browser asks again each time, and gets 304 while the file is the same."""


@dataclass(frozen=True)
class PageFile:
    """A file of the page: its bytes, its media type, and a tag that changes with them."""

    content: bytes
    kind: str
    tag: str

    def unchanged(self, if_none_match: str | None) -> bool:
        """Whether the tags that a browser sends are those of this file (RFC 9110, 13.1.2)."""
        tags = [tag.strip() for tag in (if_none_match or "").split(",")]
        return "*" in tags or self.tag in [tag.removeprefix("W/") for tag in tags]


def page_files() -> dict[str, PageFile]:
    """The files of the page by name, such as `index.html`."""
    found = {}
    for file in sorted(files("recae.serve").joinpath("page").iterdir(), key=lambda f: f.name):
        kind = KINDS.get(file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            found[file.name] = PageFile(content, kind, f'"{sha256(content).hexdigest()[:32]}"')
    return found


def add_page(app: Any) -> None:
    """Serves the page at `/`, and its other files at `/page/NAME`. app: a FastAPI or Starlette
    application, whose schema stays as it is. The files are read once, by this call."""
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def route(path: str, file: PageFile) -> Route:
        async def answer(request: Request) -> Response:
            headers = {**HEADERS, "ETag": file.tag}
            if file.unchanged(request.headers.get("if-none-match")):
                return Response(status_code=304, headers=headers)
            return Response(file.content, headers=headers, media_type=file.kind)

        return Route(path, answer, methods=["GET"], include_in_schema=False)

    for name, file in page_files().items():
        app.router.routes.append(route("/" if name == "index.html" else f"/page/{name}", file))
