"""Who may ask, and what the browser may load: the checks and headers of every request."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuse requests of other sites, and tell the browser to load nothing from elsewhere.

    A page that listens on the loopback interface answers to the loopback's names only: another site whose name is
    made to point there (DNS rebinding) sends its own.

    Args:
        app: answers what passes.
        host: that the server listens on.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.names = LOOPBACK if host in LOOPBACK else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self.refusal(Headers(scope=scope)) if scope["type"] == "http" else None
        answer = JSONResponse({"error": refusal}, 403) if refusal else self.app
        await answer(scope, receive, send_with_headers)

    def refusal(self, headers: Headers) -> str | None:
        """Return why a request is refused, or None."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.names is not None and host_name(host) not in self.names:
            return "The page answers to localhost only; host=… of the command lets it answer to other names."
        if origin is not None and urlsplit(origin).netloc != host:
            return "Another site asked; the page answers its own requests only."
        return None


def host_name(host: str) -> str | None:
    """'[::1]:7860' -> '::1'; None if it is no host."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
