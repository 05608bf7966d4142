"""GitHub's REST API with only the standard library: workflow scripts install nothing."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any, NoReturn
from urllib.parse import urlsplit

TRIES = 5
# The wait in seconds for a secondary rate limit without `Retry-After`.
LIMITED = 60.0


class ApiError(Exception):
    """An answer that is neither a success nor worth a retry."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def fail(message: str, hint: str = "") -> NoReturn:
    """Ends the step with an annotation."""
    text = message + (f"\nhint: {hint}" if hint else "")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        print(f"::error::{escaped}", flush=True)
    else:
        print(f"error: {text}", file=sys.stderr)
    sys.exit(1)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Does not follow redirects: urllib would send the token with them."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> None:
        return None


class GitHub:
    """The repository's API, with the token of the job."""

    def __init__(self) -> None:
        try:
            self.repository = os.environ["GITHUB_REPOSITORY"]
            token = os.environ["GH_TOKEN"]
        except KeyError as missing:
            fail(f"the variable `{missing.args[0]}` is not set")
        self.api = os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "wheel-actions",
        }
        self._opener = urllib.request.build_opener(NoRedirect)

    def get(self, path: str) -> Any:
        """Returns the answer to a GET request about the repository; `None` for 404."""
        try:
            return json.loads(self._ask("GET", self._url(path)))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def send(self, method: str, path: str, body: object = None) -> Any:
        """Sends a request that changes something; returns the answer."""
        data = None if body is None else json.dumps(body).encode()
        answer = self._ask(method, self._url(path), data, {"Content-Type": "application/json"})
        return json.loads(answer) if answer else None

    def upload(self, url: str, data: bytes) -> Any:
        """Uploads an asset to the URL in a release."""
        own, given = urlsplit(self.api), urlsplit(url)
        uploads = own.netloc.replace("api.", "uploads.", 1)
        if given.netloc not in (own.netloc, uploads) or given.scheme != own.scheme:
            fail(f"the API's upload URL is on another server: `{url}`")
        headers = {"Content-Type": "application/octet-stream"}
        return json.loads(self._ask("POST", url, data, headers))

    def download(self, path: str) -> bytes:
        """Downloads an asset, following the API's redirect."""
        return self._ask("GET", self._url(path), None, {"Accept": "application/octet-stream"})

    def _url(self, path: str) -> str:
        return f"{self.api}/repos/{self.repository}/{path}"

    def _ask(
        self,
        method: str,
        url: str,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        given = self._headers | (headers or {})
        for tried in range(1, TRIES + 1):
            request = urllib.request.Request(url, data, given, method=method)
            try:
                with self._opener.open(request, timeout=60) as answer:
                    return answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    if error.code in (301, 302, 307, 308):
                        return self._follow(error.headers["Location"])
                    reason = error.read().decode(errors="replace")
                wait = self._wait(error, reason, tried)
                if wait is None:
                    message = f"{method} {url}: GitHub answered {error.code}: {message_of(reason)}"
                    raise ApiError(error.code, message) from error
            except OSError as error:
                wait = 2.0**tried
                reason = str(error)
                # The request may have arrived: the caller checks.
                if method == "POST" or tried == TRIES:
                    raise ApiError(0, f"{method} {url}: {reason}") from error
            print(f"{method} {url}: {message_of(reason)}; retrying in {wait:.0f} s", flush=True)
            time.sleep(wait)
        raise AssertionError("the last try has returned or raised")

    def _wait(self, error: urllib.error.HTTPError, reason: str, tried: int) -> float | None:
        """The seconds to wait before a retry; `None` if a retry is useless."""
        limited = error.code in (403, 429) and "rate limit" in reason.lower()
        if tried == TRIES or not (limited or error.code in (408, 500, 502, 503, 504)):
            return None
        asked = error.headers.get("Retry-After", "")
        if asked.isdigit():
            return float(asked)
        return LIMITED if limited else 2.0**tried

    def _follow(self, url: str) -> bytes:
        """Downloads another server's file, without the token."""
        with urllib.request.urlopen(url, timeout=300) as answer:
            return answer.read()


def message_of(answer: str) -> str:
    """The message in an error's body."""
    try:
        body = json.loads(answer)
        details = "".join(f"; {error.get('code', error)}" for error in body.get("errors", []))
        return f"{body['message']}{details}"
    except (AttributeError, KeyError, TypeError, ValueError):
        return answer.strip()[:200]
