"""What stands in front of visdom and TensorBoard: requests that a page of somebody else's made are refused.

A browser lets any page send requests to 127.0.0.1. It cannot read the answers, but visdom would do what they say; and
a page whose own name is made to mean 127.0.0.1 (DNS rebinding) could read them as well. Both show in the request: in
the origin that the browser names, and in the host that it believes to talk to. Another page may link to ours; it may
not have ours within itself, where one would press our buttons and believe to press its own. JupyterLab looks at all
that by itself.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Deque, Iterable, Mapping
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
TRIES, WITHIN_S = 5, 5.0  # wrong passwords within so many seconds, after which every try has to wait: one a second


def refusal(method: str, headers: Mapping[str, str], names: Iterable[str], is_public: bool = False) -> str:
    """Why a request is refused, as a clause; "" where it is not.

    `headers` takes names in any case. `names` are hosts beside the loopback under which the service is known. One that
    `is_public` has a login and is known under any name.
    """
    host = headers.get("Host") or ""
    name = _name_of(host)
    if not is_public and name not in (*LOOPBACK, *names):
        return f"it is for the host {host!r}, and this service is 127.0.0.1"
    origin = headers.get("Origin")
    if origin is not None and not (origin.startswith(("http://", "https://")) and _place_of(origin) == host.lower()):
        return f"it comes from a page of {origin!r}"
    site = headers.get("Sec-Fetch-Site") or "none"
    opens_it = method in ("GET", "HEAD") and (headers.get("Sec-Fetch-Dest") or "document") == "document"
    if site not in ("none", "same-origin") and not opens_it:
        return "it comes from another site"
    return ""


def _place_of(address: str) -> str:
    try:
        return urlsplit(address).netloc.lower()
    except ValueError:
        return ""


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


class Logins:
    """Counts the wrong passwords, whoever sent them: after a few, one a second is looked at."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._tries = now, Deque[float](maxlen=TRIES)

    def wait_s(self) -> float:
        """How long a try has to wait, in seconds; 0 where it may go on."""
        left = self._tries[0] + WITHIN_S - self._now() if len(self._tries) == TRIES else 0.0
        return max(0.0, left)

    def wrong(self) -> None:
        self._tries.append(self._now())


def before_tornado(names: Iterable[str], is_public: bool) -> None:
    """Have every application of tornado (visdom's server) refuse what is to be refused, websockets too."""
    from tornado import web

    known, logins, find_handler = tuple(names), Logins(), web.Application.find_handler

    class Refuse(web.RequestHandler):
        def initialize(self, status: int, why: str, wait_s: float = 0.0) -> None:
            self.status, self.why, self.wait_s = status, why, wait_s

        def prepare(self) -> None:
            self.set_status(self.status)
            if self.wait_s:
                self.set_header("Retry-After", str(int(self.wait_s) + 1))
            self.finish(f"refused: {self.why}\n")

        def check_xsrf_cookie(self) -> None:
            """Refused all the same."""

    def guarded(self: Any, request: Any, **more: Any) -> Any:
        why = refusal(request.method, request.headers, known, is_public)
        if why:
            return self.get_handler_delegate(request, Refuse, {"status": 403, "why": why})
        found = find_handler(self, request, **more)
        handler: Any = getattr(found, "handler_class", Refuse)
        # The page posts the password to its own address, which visdom's handler of all other addresses takes.
        if is_public and request.method == "POST" and handler.__name__ in ("IndexHandler", "LoginHandler"):
            wait_s = logins.wait_s()
            if wait_s:
                told = {"status": 429, "why": "too many wrong passwords", "wait_s": wait_s}
                return self.get_handler_delegate(request, Refuse, told)

            def on_finish(asked: Any) -> None:
                if asked.get_status() >= 400:
                    logins.wrong()

            found.handler_class = type(handler.__name__, (handler,), {"on_finish": on_finish})
        return found

    web.Application.find_handler = guarded


def before_wsgi(app: Callable[..., Any], names: Iterable[str]) -> Callable[..., Any]:
    """`app` (TensorBoard's) behind the guard."""
    known = tuple(names)

    def guarded(variables: Mapping[str, Any], start_response: Callable[..., Any]) -> Any:
        headers = {
            name: variables[key]
            for name, key in (
                ("Host", "HTTP_HOST"),
                ("Origin", "HTTP_ORIGIN"),
                ("Sec-Fetch-Site", "HTTP_SEC_FETCH_SITE"),
                ("Sec-Fetch-Dest", "HTTP_SEC_FETCH_DEST"),
            )
            if key in variables
        }
        why = refusal(str(variables["REQUEST_METHOD"]), headers, known)
        if not why:
            return app(variables, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"refused: {why}\n".encode()]

    return guarded


def before_tensorboard(names: Iterable[str]) -> None:
    """Have TensorBoard's application stand behind the guard."""
    from tensorboard.backend import application

    make = application.TensorBoardWSGIApp

    def guarded(*arguments: Any, **options: Any) -> Any:
        return before_wsgi(make(*arguments, **options), names)

    application.TensorBoardWSGIApp = guarded
