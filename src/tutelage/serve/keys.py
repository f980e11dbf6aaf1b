"""Who may ask: one bearer key, and no server beyond this machine without one."""

import hmac
import os
from ipaddress import ip_address
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from tutelage.errors import ConfigError
from tutelage.serve.errors import Refused, response

VARIABLE = "TUTELAGE_API_KEY"
PROTECTED = ("/info", "/openapi.json")  # besides /v1/ and whatever is not read alone: they tell of the model


def read_key(file: Path | None) -> str | None:
    """The key: the file's content if one is named, else ``TUTELAGE_API_KEY``, else none.

    Raises:
        ConfigError: no such file, or no key in it; a key that not every client can send.
    """
    if file is None:
        return _sendable(os.environ.get(VARIABLE, "").strip(), f"${VARIABLE}") or None
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"--key-file {file}: {fault}. Give a text file that holds the key.") from fault
    if not key:
        raise ConfigError(f"--key-file {file}: it is empty. Write a key into it.")
    return _sendable(key, f"--key-file {file}")


def _sendable(key: str, where: str) -> str:
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"{where}: the key has characters beyond printable ASCII, which browsers cannot send in a header. Choose "
            "one of letters without accents, digits and signs: openssl rand -hex 32."
        )
    return key


def refuse_exposure(host: str, key: str | None, allow_anonymous: bool) -> None:
    """A server that other machines reach needs a key, or the word of its owner that it needs none.

    Raises:
        ConfigError: an address beyond loopback, no key, and no such word.

    >>> refuse_exposure("127.0.0.1", None, False)
    """
    if key is None and not allow_anonymous and not is_loopback(host):
        raise ConfigError(
            f"--host {host}: other machines could use this server without a key. Set {VARIABLE} or --key-file, keep "
            "127.0.0.1 behind a proxy, or give --allow-anonymous if something in front asks for a key."
        )


def trusted_hosts(host: str, key: str | None, allow_anonymous: bool) -> list[str]:
    """The names under which a server answers: any with a key; else only this machine's own.

    A web page of elsewhere can point its name at 127.0.0.1 and ask what answers there (DNS rebinding).

    >>> trusted_hosts("127.0.0.1", None, False)
    ['localhost', '127.0.0.1', '[::1]']
    """
    if key is not None or allow_anonymous:
        return ["*"]
    return [*dict.fromkeys(["localhost", "127.0.0.1", "[::1]", host])]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class KeyCheck:
    """ASGI middleware: 401 without the key, before a byte of the body is read.

    Open are the page's files and ``/health``, ``/ready``, ``/metrics``: what is read, and not under ``/v1/``.
    """

    def __init__(self, app: ASGIApp, key: str | None):
        self.app, self.key = app, None if key is None else key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or refuse."""
        if scope["type"] != "http" or self.key is None or _is_open(scope) or self._holds_key(scope):
            return await self.app(scope, receive, send)
        refused = Refused(
            401, "A key is needed: Authorization: Bearer KEY.", headers={"www-authenticate": 'Bearer realm="tutelage"'}
        )
        await response(scope["path"], refused)(scope, receive, send)

    def _holds_key(self, scope: Scope) -> bool:
        assert self.key is not None
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, key = (given[0] if len(given) == 1 else b"").partition(b" ")
        return hmac.compare_digest(key.strip(), self.key) and scheme.lower() == b"bearer"


def _is_open(scope: Scope) -> bool:
    path = scope["path"]
    return scope["method"] in ("GET", "HEAD") and not path.startswith("/v1/") and path not in PROTECTED
