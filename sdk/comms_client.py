"""CommServer's client for Python: one file of the standard library, for Python 3.9 and later. Copy it into your application.

    comms = CommsClient(os.environ["COMMS_URL"], os.environ["COMMS_APP_ID"], os.environ["COMMS_API_KEY"])
    sent = comms.send_email(to=user.email, subject="Request approved", body="<p>…</p>", idempotency_key=f"{request.id}-approved-email")

Arguments are the members of the contract, in snake_case or as they are there (``from_`` is ``from``); answers are dictionaries as the API
gives them. Keep the keys on servers: whoever has one can send as your application.

What is repeated by itself: reading, sending (under an idempotency key, which is made when you give none) and the few changes that a repeat
cannot change any further. Everything else is asked once. docs/sdk.md has the whole list.

A client holds no connection and no state: one is enough for a program and all of its threads. It does not use proxies of the environment.

Copyright the CommServer authors. SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import base64
import binascii
import datetime
import email.utils
import hashlib
import hmac
import http.client
import json
import random
import re
import secrets
import ssl
import time
import urllib.parse
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

__all__ = [
    "CommsClient", "CommsProvisioningClient", "verify_webhook", "CommsError", "CommsApiError", "CommsConnectionError",
    "CommsTimeoutError", "CommsAnswerError", "CommsWebhookError", "CommsWaitError",
]

Json = Dict[str, Any]


class CommsError(Exception):
    """Every error of this client but those for wrong use (ValueError). ``code`` is stable."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        #: Of a send: the key that was used, given or made. Sending again under it cannot send twice.
        self.idempotency_key: Optional[str] = None
        #: Of send_messages: those keys, one for each message in order.
        self.idempotency_keys: Optional[List[str]] = None
        #: How often the call was made.
        self.tries = 1


class CommsApiError(CommsError):
    """A refusal by the server. docs/errors.md lists the codes; a newer server may have others. "" when the answer was not one of CommServer's."""

    def __init__(self, status: int, message: str, details: Json, request_id: Optional[str], retry_after: Optional[float]):
        code = details.get("code")
        super().__init__(code if isinstance(code, str) else "", message)
        self.status = status
        self.details = details
        fields = details.get("fields")
        self.fields: Dict[str, str] = fields if isinstance(fields, dict) else {}
        self.request_id = request_id
        #: Seconds that the server asks to stay away; None if it does not say.
        self.retry_after = retry_after


class CommsConnectionError(CommsError):
    """No answer came: whether the server has done what it was asked is not known."""


class CommsTimeoutError(CommsError):
    """No whole answer came in time; see CommsConnectionError."""


class CommsAnswerError(CommsError):
    """The answer of a success cannot be read."""


class CommsWebhookError(CommsError):
    """A webhook that nobody who knows the secret has signed lately. Answer it with 4xx."""


class CommsWaitError(CommsError):
    """The time of wait_for_delivery is up; ``last_message`` is the message as it was read last."""

    def __init__(self, message: str, last: Json):
        super().__init__("wait_timeout", message)
        self.last_message = last


_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_FIRST_POLL, _LONGEST_POLL = 0.25, 5.0
_USUAL_RETRY, _LONGEST_RETRY = 3.0, 30.0
_DEAF = 45.0  # the server says something every 15 seconds
_TRIAL = 40.0  # longer than the server gives a provider that is tried out
_BATCH_MOST, _BATCH_BYTES = 1000, 15 << 20  # below the server's limit of 16 MiB
_LINE_MOST = 8 << 20


class _Caller:
    """Makes requests. timeout is in seconds for one try, its answer included."""

    def __init__(self, base_url: str, headers: Dict[str, str], timeout: float, retries: int, max_retry_after: float):
        try:
            parts = urllib.parse.urlsplit(base_url or "")
            self._port = parts.port
        except ValueError:
            raise ValueError("base_url must look like http://localhost:3008") from None  # without the URL, which may hold a password
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must look like http://localhost:3008")
        if parts.username is not None or parts.password is not None:
            raise ValueError("base_url must not hold a user or a password: the key alone says who calls")
        self._secure, self._host, self._path = parts.scheme == "https", parts.hostname, parts.path.rstrip("/")
        self._headers, self.timeout, self.retries, self.max_retry_after = headers, timeout, retries, max_retry_after

    def json(self, method: str, path: str, *, query: Optional[Mapping[str, Any]] = None, body: Any = None, raw: Optional[Tuple[bytes, str]] = None,
             repeat: bool = False, timeout: Optional[float] = None, empty: bool = False) -> Json:
        headers: Dict[str, str] = {}
        data: Optional[bytes] = None
        if raw is not None:
            data, headers["Content-Type"] = raw
        elif body is not None:
            data = body if isinstance(body, bytes) else _encode(body)
            headers["Content-Type"] = "application/json"
        limit = self.timeout if timeout is None else timeout
        tries = 0
        while True:
            tries += 1
            try:
                return self._once(method, path, query, headers, data, limit, empty)
            except CommsError as error:
                error.tries = tries
                wait = self._pause(error, tries) if repeat and tries <= self.retries else None
                if wait is None:
                    raise
                time.sleep(wait)

    def _once(self, method: str, path: str, query: Optional[Mapping[str, Any]], headers: Dict[str, str], data: Optional[bytes], limit: float, empty: bool) -> Json:
        end = time.monotonic() + limit
        connection, response = self.open(method, path, query, headers, data, end)
        try:
            text = self.read(connection, response, end, f"{method} {path}")
        finally:
            connection.close()
        if empty:
            return {}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as cause:
            raise CommsAnswerError("unreadable_answer", f"The answer of {method} {path} is no JSON; is this a CommServer?") from cause
        if not isinstance(value, dict):
            raise CommsAnswerError("unreadable_answer", f"The answer of {method} {path} is no JSON object; is this a CommServer?")
        return value

    def open(self, method: str, path: str, query: Optional[Mapping[str, Any]], headers: Mapping[str, str], data: Optional[bytes], end: float) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Sends a request and answers the response of a success, whose body is not read yet."""
        if "//" in path or path.endswith("/"):
            raise ValueError("the identifier is missing")
        target = self._path + path
        given = [(name, _text(value)) for name, value in (query or {}).items() if value is not None]
        if given:
            target += "?" + urllib.parse.urlencode(given)
        left = max(0.001, end - time.monotonic())
        if self._secure:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(self._host, self._port, timeout=left, context=ssl.create_default_context())
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=left)
        what = f"{method} {path}"
        try:
            connection.request(method, target, body=data, headers={"Accept": "application/json", "Connection": "close", **self._headers, **headers})
            self._bound(connection, end)
            response = connection.getresponse()
            if 200 <= response.status <= 299:
                return connection, response
            raise self._refusal(response, self.read(connection, response, end, what), what)
        except CommsError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as cause:
            connection.close()
            raise self._lost(cause, what) from cause

    def read(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, end: float, what: str) -> bytes:
        out: List[bytes] = []
        try:
            while True:
                self._bound(connection, end)
                part = response.read1(1 << 16)
                if not part:
                    break
                out.append(part)
        except (OSError, http.client.HTTPException) as cause:
            raise self._lost(cause, what) from cause
        if response.length:  # the connection ended before what was promised
            raise CommsConnectionError("connection_failed", f"{what} was not answered: the connection was cut.")
        return b"".join(out)

    @staticmethod
    def _bound(connection: http.client.HTTPConnection, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:
            connection.sock.settimeout(left)

    @staticmethod
    def _lost(cause: BaseException, what: str) -> CommsError:
        if isinstance(cause, TimeoutError):
            return CommsTimeoutError("timeout", f"{what} was not answered in time.")
        return CommsConnectionError("connection_failed", f"{what} was not answered: the connection failed.")

    @staticmethod
    def _refusal(response: http.client.HTTPResponse, text: bytes, what: str) -> CommsApiError:
        request_id, wait = response.getheader("X-Request-Id"), _retry_after(response.getheader("Retry-After"))
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None  # not ours: a proxy's answer, perhaps
        if isinstance(body, dict) and isinstance(body.get("error"), str) and body["error"]:
            details = body.get("details")
            return CommsApiError(response.status, body["error"], details if isinstance(details, dict) else {}, request_id, wait)
        return CommsApiError(response.status, f"The server answered {what} {response.status}.", {}, request_id, wait)

    def _pause(self, error: CommsError, tries: int) -> Optional[float]:
        """How long to wait before the call is made again; None: it is not."""
        if isinstance(error, CommsApiError):
            if error.status in (429, 503):
                if error.retry_after is not None:
                    return error.retry_after if error.retry_after <= self.max_retry_after else None
            elif error.status not in (408, 502, 504):
                return None
        pause = min(_FIRST_PAUSE * 2 ** min(tries - 1, 6), _LONGEST_PAUSE)
        return pause / 2 + random.random() * pause / 2


class CommsClient:
    """Calls one server for one app. Times are in seconds; ``timeout`` is for one try, ``retries`` are further tries of what may be repeated,
    ``max_retry_after`` is the longest Retry-After that is waited for."""

    def __init__(self, base_url: str, app_id: str, api_key: str, *, timeout: float = 15.0, retries: int = 3, max_retry_after: float = 10.0):
        self._http = _Caller(base_url, {"X-App-ID": _credential("app_id", app_id), "X-API-Key": _credential("api_key", api_key)}, timeout, retries, max_retry_after)

    def _get(self, path: str, **query: Any) -> Json:
        return self._http.json("GET", path, query=_members(query), repeat=True)

    # --- Messages

    def send_email(self, **message: Any) -> Json:
        """Queues an email. It answers when the server has stored it durably."""
        return self.send_message(**{**message, "channel": "EMAIL"})

    def send_sms(self, **message: Any) -> Json:
        """Queues an SMS. It answers when the server has stored it durably."""
        return self.send_message(**{**message, "channel": "SMS"})

    def send_message(self, **message: Any) -> Json:
        """Queues a message. Without an idempotency_key one is made: repeats within this call are then safe, a second call is a second message.
        The answer has the ``idempotencyKey`` that was used."""
        keyed = _with_key(message)
        try:
            answer = self._http.json("POST", "/api/v1/messages", body=keyed, repeat=True)
            if not answer.get("id"):
                raise CommsAnswerError("unreadable_answer", "The answer of POST /api/v1/messages names no message; is this a CommServer?")
            return {**answer, "idempotencyKey": keyed["idempotencyKey"]}
        except CommsError as error:
            error.idempotency_key = keyed["idempotencyKey"]
            raise

    def send_messages(self, messages: Iterable[Mapping[str, Any]]) -> List[Json]:
        """Queues any number of messages, in requests of up to 1000 that follow one another, and answers for each in order: with ``id`` and ``status``,
        or ``error`` and ``details``. It raises when the first request fails, with the ``idempotency_keys``; when a later one does, its messages and those behind it come as refused,
        with ``cause``. What cannot be written as JSON is a ValueError before anything is sent."""
        keyed = [_with_key(m) for m in messages]
        out: List[Json] = []
        # All are written before the first is sent: an error in the middle would take the keys of what was accepted along.
        for start, end, body in list(_parts(keyed)):
            try:
                data = self._http.json("POST", "/api/v1/messages/batch", body=body, repeat=True).get("data")
                if not isinstance(data, list) or len(data) != end - start or not all(isinstance(item, dict) and (item.get("id") or item.get("error")) for item in data):
                    raise CommsAnswerError("unreadable_answer", "The answer of POST /api/v1/messages/batch does not have an item for each message.")
            except Exception as error:  # also what a signal handler raises: it must not take the keys of what was accepted along
                if start == 0:
                    if isinstance(error, CommsError):
                        error.idempotency_keys = [m["idempotencyKey"] for m in keyed]
                    raise
                details = {**(error.details if isinstance(error, CommsApiError) else {}), "code": error.code if isinstance(error, CommsError) else ""}
                out.extend({"index": i, "error": str(error) or type(error).__name__, "details": details, "idempotencyKey": keyed[i]["idempotencyKey"], "cause": error} for i in range(start, len(keyed)))
                break
            out.extend({**item, "index": start + i, "idempotencyKey": keyed[start + i]["idempotencyKey"]} for i, item in enumerate(data))
        return out

    def preview_message(self, **message: Any) -> Json:
        """What a message would become, and on which way; stores and sends nothing."""
        return self._http.json("POST", "/api/v1/messages/preview", body=_members(message), repeat=True)

    def list_messages(self, **query: Any) -> Json:
        """One page of messages, newest first; see messages."""
        return self._get("/api/v1/messages", **query)

    def messages(self, **query: Any) -> Iterator[Json]:
        """Walks through messages, newest first, page by page; limit is the size of a page."""
        return _walk(self.list_messages, query)

    def get_message(self, id: str) -> Json:
        return self._get(f"/api/v1/messages/{_part(id)}")

    def change_message(self, id: str, action: str) -> Json:
        """CANCEL or RETRY. CANCEL is repeated when its answer was lost, RETRY is not."""
        return self._http.json("PATCH", f"/api/v1/messages/{_part(id)}", body={"action": action}, repeat=action == "CANCEL")

    def cancel_message(self, id: str) -> Json:
        """Cancels a queued message. That it was cancelled before is no error."""
        return self.change_message(id, "CANCEL")

    def retry_message(self, id: str) -> Json:
        """Queues a failed or cancelled message again."""
        return self.change_message(id, "RETRY")

    def wait_for_delivery(self, id: str, *, until: str = "DELIVERED", timeout: float = 60.0) -> Json:
        """Waits until it is known what became of a message, and answers it: delivered, or FAILED, SUPPRESSED or CANCELLED, which is no error.
        ``DELIVERED`` needs a provider that reports; ``SENT`` waits until nothing more is tried. CommsWaitError when the time is up."""
        over = {"DELIVERED", "FAILED", "SUPPRESSED", "CANCELLED"} | ({"SENT"} if until == "SENT" else set())
        end, pause = time.monotonic() + timeout, _FIRST_POLL
        while True:
            last = self.get_message(id)
            if last.get("status") in over:
                return last
            left = end - time.monotonic()
            if left <= 0:
                hint = ', and nobody has reported that it arrived; with until="SENT" this is enough' if last.get("status") == "SENT" else ""
                raise CommsWaitError(f"The message is {last.get('status')} after {timeout} seconds{hint}.", last)
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, _LONGEST_POLL)

    # --- Sandbox

    def list_captures(self, **query: Any) -> Json:
        return self._get("/api/v1/sandbox/messages", **query)

    def captures(self, **query: Any) -> Iterator[Json]:
        """Walks through what the sandbox took, newest first."""
        return _walk(self.list_captures, query)

    def get_capture(self, id: str) -> Json:
        return self._get(f"/api/v1/sandbox/messages/{_part(id)}")

    def get_capture_source(self, id: str) -> Iterator[bytes]:
        """A captured email as a mail server would have got it (RFC 5322), with its attachments, in pieces."""
        return self._pieces(f"/api/v1/sandbox/messages/{_part(id)}/source", {})

    def wait_for_capture(self, *, to: str, timeout: int = 30, **query: Any) -> Json:
        """Waits until the sandbox takes a message to an address, for end-to-end tests; at most 50 seconds, then the error's code is nothing_captured."""
        return self._http.json("GET", "/api/v1/sandbox/messages/wait", query={**_members(query), "to": to, "timeout": timeout}, repeat=True, timeout=max(self._http.timeout, timeout + 10.0))

    # --- The app

    def get_app(self) -> Json:
        return self._get("/api/v1/app")

    def change_app(self, **change: Any) -> Json:
        """Changes the app's settings. With a webhook_url it is asked once only: the answer may hold a secret that is shown once."""
        body = _members(change, keep_none=True)
        return self._http.json("PATCH", "/api/v1/app", body=body, repeat="webhookUrl" not in body)

    def get_stats(self, **query: Any) -> Json:
        return self._get("/api/v1/stats", **query)

    # --- Templates

    def create_template(self, **template: Any) -> Json:
        return self._http.json("POST", "/api/v1/templates", body=_members(template))

    def list_templates(self, **query: Any) -> Json:
        return self._get("/api/v1/templates", **query)

    def templates(self, **query: Any) -> Iterator[Json]:
        return _walk(self.list_templates, query)

    def get_template(self, id: str) -> Json:
        return self._get(f"/api/v1/templates/{_part(id)}")

    def change_template(self, id: str, **change: Any) -> Json:
        """Content that differs from what is stored becomes the next version."""
        return self._http.json("PATCH", f"/api/v1/templates/{_part(id)}", body=_members(change), repeat=True)

    def delete_template(self, id: str) -> None:
        self._http.json("DELETE", f"/api/v1/templates/{_part(id)}", empty=True)

    def list_template_versions(self, id: str) -> Json:
        return self._get(f"/api/v1/templates/{_part(id)}/versions")

    def get_template_version(self, id: str, version: int) -> Json:
        return self._get(f"/api/v1/templates/{_part(id)}/versions/{int(version)}")

    def rollback_template(self, id: str, version: int) -> Json:
        """Makes a new version with the content of an old one."""
        return self._http.json("POST", f"/api/v1/templates/{_part(id)}/rollback", body={"version": version})

    def preview_template(self, id: str, variables: Optional[Mapping[str, Any]] = None) -> Json:
        return self._http.json("POST", f"/api/v1/templates/{_part(id)}/preview", body={"variables": dict(variables or {})}, repeat=True)

    # --- Provider configurations

    def create_provider_config(self, **config: Any) -> Json:
        return self._http.json("POST", "/api/v1/provider-configs", body=_members(config))

    def list_provider_configs(self) -> Json:
        return self._get("/api/v1/provider-configs")

    def get_provider_config(self, id: str) -> Json:
        return self._get(f"/api/v1/provider-configs/{_part(id)}")

    def change_provider_config(self, id: str, **change: Any) -> Json:
        """Fields of config that are not sent stay as they are, None removes one."""
        return self._http.json("PATCH", f"/api/v1/provider-configs/{_part(id)}", body=_members(change, keep_none=True), repeat=True)

    def delete_provider_config(self, id: str) -> None:
        self._http.json("DELETE", f"/api/v1/provider-configs/{_part(id)}", empty=True)

    def rotate_provider_callback(self, id: str, **rotation: Any) -> Json:
        return self._http.json("POST", f"/api/v1/provider-configs/{_part(id)}/rotate-callback", body=_members(rotation))

    def verify_provider_config(self, id: str) -> Json:
        """Connects to the provider and logs in; sends nothing. Whether it works is ``ok`` of the answer."""
        return self._http.json("POST", f"/api/v1/provider-configs/{_part(id)}/verify", timeout=max(self._http.timeout, _TRIAL))

    def test_provider_config(self, id: str, *, to: str) -> Json:
        """Sends one real message through this configuration, whatever the mode of the app."""
        return self._http.json("POST", f"/api/v1/provider-configs/{_part(id)}/test", body={"to": to}, timeout=max(self._http.timeout, _TRIAL))

    # --- Suppressions and persons

    def add_suppression(self, **suppression: Any) -> Json:
        """Puts an address on the opt-out list. That it is there already changes nothing, and is no error."""
        return self._http.json("POST", "/api/v1/suppressions", body=_members(suppression), repeat=True)

    def list_suppressions(self, **query: Any) -> Json:
        return self._get("/api/v1/suppressions", **query)

    def suppressions(self, **query: Any) -> Iterator[Json]:
        return _walk(self.list_suppressions, query)

    def remove_suppression(self, *, channel: str, address: str) -> None:
        self._http.json("DELETE", "/api/v1/suppressions", query={"channel": channel, "address": address}, empty=True)

    def import_suppressions(self, content: Union[str, bytes], format: str, *, timeout: float = 3600.0) -> Json:
        """Adds a list of at most 64 MiB; format is csv or jsonl. Asked once; repeating it is safe."""
        data = content.encode() if isinstance(content, str) else content
        return self._http.json("POST", "/api/v1/suppressions/import", raw=(data, "text/csv" if format == "csv" else "application/x-ndjson"), timeout=timeout)

    def export_suppressions(self, *, format: str = "csv") -> Iterator[bytes]:
        """The whole list, in pieces as they arrive; an error in the middle is one of reading."""
        return self._pieces("/api/v1/suppressions/export", {"format": format})

    def erase_person(self, **person: Any) -> Json:
        """Has everything about a person erased. It goes on by itself: see get_erasure."""
        return self._http.json("POST", "/api/v1/erasures", body=_members(person))

    def get_erasure(self, id: str) -> Json:
        return self._get(f"/api/v1/erasures/{_part(id)}")

    def export_person(self, *, address: str, channel: Optional[str] = None) -> Iterator[bytes]:
        """Everything that is held about a person as JSON lines, in pieces. It is whole if its last line is of the kind ``end``."""
        return self._pieces("/api/v1/persons/export", {"address": address, "channel": channel})

    def _pieces(self, path: str, query: Mapping[str, Any]) -> Iterator[bytes]:
        connection, response = self._http.open("GET", path, query, {}, None, time.monotonic() + self._http.timeout)

        def read() -> Iterator[bytes]:
            try:
                while True:
                    self._http._bound(connection, time.monotonic() + _DEAF)
                    piece = response.read1(1 << 16)
                    if not piece:
                        if response.length:
                            raise CommsConnectionError("connection_failed", f"The answer of GET {path} was cut.")
                        return
                    yield piece
            except (OSError, http.client.HTTPException) as cause:
                raise self._http._lost(cause, f"GET {path}") from cause
            finally:
                connection.close()

        return read()

    # --- Events and webhooks

    def list_events(self, **query: Any) -> Json:
        """One page of the app's events, the oldest first; see feed."""
        return self._get("/api/v1/events", **query)

    def feed(self, after: Optional[str] = None) -> Iterator[Json]:
        """Walks through the pages of events behind a cursor, up to the end for now: what it yields last is a page without events. Keep each page's
        nextCursor when its events are dealt with, and begin there the next time."""
        while True:
            page = self.list_events(after=after, limit=100)
            yield page
            if not page["data"]:
                return
            after = page["nextCursor"]

    def stream_events(self, after: Optional[str] = None) -> Iterator[Json]:
        """Yields the app's events behind a cursor as they happen, each once and in one order without gaps, with its ``cursor``. A connection that
        breaks, or on which nothing is heard for 45 seconds, is opened again behind the last event, after the pause that the server asks for. It raises
        the first refusal that does not pass by itself."""
        place = {"after": after, "retry": _USUAL_RETRY, "heard": False}
        failed = 0
        while True:
            place["heard"], wait = False, 0.0
            try:
                yield from self._listen(place)
            except CommsApiError as error:
                if error.status not in (408, 429, 500, 502, 503, 504):
                    raise
                wait = error.retry_after or 0.0
            except (CommsConnectionError, CommsTimeoutError):
                pass
            failed = 0 if place["heard"] else failed + 1
            back_off = min(place["retry"] * 2 ** min(failed - 1, 10), _LONGEST_RETRY) * (1 + random.random() / 4) if failed > 1 else 0.0
            time.sleep(max(place["retry"], back_off, wait))

    def _listen(self, place: Json) -> Iterator[Json]:
        """Opens the stream once and yields what comes until it ends (WHATWG HTML, 9.2)."""
        path = "/api/v1/events/stream"
        headers = {"Accept": "text/event-stream"}
        if place["after"] is not None:
            headers["Last-Event-ID"] = place["after"]
        connection, response = self._http.open("GET", path, None, headers, None, time.monotonic() + self._http.timeout)
        try:
            if (response.getheader("Content-Type") or "").split(";")[0].strip().lower() != "text/event-stream":
                raise CommsApiError(response.status, f"The answer of GET {path} is no stream of events; is this a CommServer?", {}, None, None)
            data: List[bytes] = []
            ident: Optional[str] = None
            while True:
                self._http._bound(connection, time.monotonic() + _DEAF)
                line = response.readline(_LINE_MOST)
                if not line.endswith(b"\n"):
                    return  # the end, or an event that was cut: it is told again
                place["heard"] = True
                line = line.rstrip(b"\r\n")
                if line:
                    name, _, value = line.partition(b":")
                    value = value[1:] if value.startswith(b" ") else value
                    if name == b"data":
                        data.append(value)
                    elif name == b"id" and b"\0" not in value:
                        ident = value.decode()
                    elif name == b"retry" and re.fullmatch(rb"[0-9]{1,9}", value):
                        place["retry"] = int(value) / 1000
                    continue
                if ident is not None:
                    place["after"] = ident  # only now the event is whole
                whole, data, ident = data, [], None
                if whole:
                    try:
                        event = json.loads(b"\n".join(whole))
                    except ValueError as cause:
                        raise CommsAnswerError("unreadable_answer", "An event of the stream is no JSON.") from cause
                    yield {**event, "cursor": place["after"]}
        except (OSError, http.client.HTTPException) as cause:
            raise self._http._lost(cause, f"GET {path}") from cause
        finally:
            connection.close()

    def create_webhook(self, **webhook: Any) -> Json:
        return self._http.json("POST", "/api/v1/webhooks", body=_members(webhook))

    def list_webhooks(self) -> Json:
        return self._get("/api/v1/webhooks")

    def get_webhook(self, id: str) -> Json:
        return self._get(f"/api/v1/webhooks/{_part(id)}")

    def change_webhook(self, id: str, **change: Any) -> Json:
        return self._http.json("PATCH", f"/api/v1/webhooks/{_part(id)}", body=_members(change), repeat=True)

    def delete_webhook(self, id: str) -> None:
        self._http.json("DELETE", f"/api/v1/webhooks/{_part(id)}", empty=True)

    def rotate_webhook_secret(self, id: str, **rotation: Any) -> Json:
        """Another secret, shown in this answer alone."""
        return self._http.json("POST", f"/api/v1/webhooks/{_part(id)}/rotate-secret", body=_members(rotation))

    def test_webhook(self, id: str) -> Json:
        """Posts an event ``webhook.test`` about a message that does not exist."""
        return self._http.json("POST", f"/api/v1/webhooks/{_part(id)}/test")

    def replay_deliveries(self, id: str, **range: Any) -> Json:
        """Posts again what was made within a time, up to 10,000 events; see ``more`` of the answer."""
        return self._http.json("POST", f"/api/v1/webhooks/{_part(id)}/replay", body=_members(range))

    def list_deliveries(self, id: str, **query: Any) -> Json:
        return self._get(f"/api/v1/webhooks/{_part(id)}/deliveries", **query)

    def deliveries(self, id: str, **query: Any) -> Iterator[Json]:
        return _walk(lambda **more: self.list_deliveries(id, **more), query)

    def get_delivery(self, id: str, delivery: str) -> Json:
        return self._get(f"/api/v1/webhooks/{_part(id)}/deliveries/{_part(delivery)}")

    def replay_delivery(self, id: str, delivery: str) -> Json:
        return self._http.json("POST", f"/api/v1/webhooks/{_part(id)}/deliveries/{_part(delivery)}/replay")


class CommsProvisioningClient:
    """Makes apps, for deployment automation: with the provisioning key, which is neither the administrator's nor an app's."""

    def __init__(self, base_url: str, provisioning_key: str, *, timeout: float = 15.0):
        self._http = _Caller(base_url, {"X-Provisioning-Key": _credential("provisioning_key", provisioning_key)}, timeout, 0, 0.0)

    def provision_app(self, **app: Any) -> Json:
        """Makes an app, or answers the one that is there, with apiKey None. Asked once: an answer that is lost held the key."""
        return self._http.json("POST", "/api/provision/apps", body=_members(app))


def verify_webhook(body: Union[bytes, str], headers: Mapping[str, str], secret: Union[str, Iterable[str]], *, tolerance: float = 300.0, now: Optional[float] = None) -> Json:
    """Checks a request that a webhook endpoint got, and answers its event. ``body`` is what was received, byte for byte; ``secret`` is the endpoint's, or a
    list of those that are valid while it is rotated. It is enough that one of X-Comms-Signature and Webhook-Signature fits under one of them.
    CommsWebhookError when none does, when the timestamp is too far from now, or the body is no event. A webhook may come more than once: eventId is the
    same then."""
    raw = body.encode() if isinstance(body, str) else body
    given = {name.lower(): value for name, value in headers.items()}
    at = time.time() if now is None else now
    valid = [secret] if isinstance(secret, str) else list(secret)
    if not valid or not all(valid):
        raise ValueError("secret must be the webhook's secret, or a list of them, none empty")

    def recent(timestamp: str) -> bool:
        return re.fullmatch(r"[0-9]{1,15}", timestamp) is not None and abs(at - int(timestamp)) < tolerance

    def same(one: str, other: str) -> bool:
        return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())

    guide_at, ident, standard_at = given.get("x-comms-timestamp", ""), given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    fits = False
    for one in valid:
        wanted = hmac.new(one.encode(), guide_at.encode("utf-8", "surrogateescape") + b"." + raw, hashlib.sha256).hexdigest()
        fits = (same(given.get("x-comms-signature", "").lower(), wanted) and recent(guide_at)) or fits
        code = hmac.new(_standard_key(one), f"{ident}.{standard_at}.".encode("utf-8", "surrogateescape") + raw, hashlib.sha256).digest()
        wanted = "v1," + base64.b64encode(code).decode()
        for signature in given.get("webhook-signature", "").split():
            fits = (same(signature, wanted) and ident != "" and recent(standard_at)) or fits
    if not fits:
        raise CommsWebhookError("webhook_rejected", "The webhook's signature does not fit, or is too old.")
    try:
        event = json.loads(raw)
    except ValueError as cause:
        raise CommsWebhookError("webhook_rejected", "The webhook's body is no JSON.") from cause
    if not isinstance(event, dict):
        raise CommsWebhookError("webhook_rejected", "The webhook's body is no event.")
    return event


def _standard_key(secret: str) -> bytes:
    """What is behind whsec_, decoded; a secret of another form stands for its bytes."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret[6:], validate=True) or secret.encode()
        except (binascii.Error, ValueError):
            pass
    return secret.encode()


def _encode(value: Any) -> bytes:
    def other(v: Any) -> Any:
        if isinstance(v, datetime.datetime):
            return _text(v)
        if isinstance(v, (bytes, bytearray)):  # of an attachment
            return base64.b64encode(v).decode()
        raise ValueError(f"the request cannot be written as JSON: it holds a {type(v).__name__}")

    return json.dumps(value, default=other, allow_nan=False, separators=(",", ":")).encode()


def _text(value: Any) -> str:
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs its time zone: use datetime.now(timezone.utc), for instance")
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _members(given: Mapping[str, Any], keep_none: bool = False) -> Json:
    """Names as the contract has them: idempotency_key is idempotencyKey, from_ is from."""
    out: Json = {}
    for name, value in given.items():
        if value is not None or keep_none:
            first, *rest = name.rstrip("_").split("_")
            out[first + "".join(part[:1].upper() + part[1:] for part in rest)] = value
    return out


def _with_key(message: Mapping[str, Any]) -> Json:
    keyed = _members(message)
    keyed["idempotencyKey"] = keyed.get("idempotencyKey") or "auto-" + secrets.token_hex(16)
    return keyed


def _parts(messages: List[Json]) -> Iterator[Tuple[int, int, bytes]]:
    """Splits messages into bodies that the server takes. One that is too large alone gets a request of its own, which is refused."""
    start, size, items = 0, 0, []  # type: int, int, List[bytes]
    for i, message in enumerate(messages):
        item = _encode(message)
        if items and (len(items) == _BATCH_MOST or size + len(item) + 1 > _BATCH_BYTES):
            yield start, i, b'{"messages":[' + b",".join(items) + b"]}"
            start, size, items = i, 0, []
        items.append(item)
        size += len(item) + 1
    if items:
        yield start, len(messages), b'{"messages":[' + b",".join(items) + b"]}"


def _walk(read: Callable[..., Json], query: Mapping[str, Any]) -> Iterator[Json]:
    cursor: Optional[str] = None
    while True:
        page = read(**{**query, **({"cursor": cursor} if cursor else {})})
        yield from page["data"]
        following = page.get("nextCursor")
        if not following:
            return
        if following == cursor:
            raise CommsAnswerError("unreadable_answer", "A page of the list leads to itself.")
        cursor = following


def _part(id: str) -> str:
    """An identifier as one part of a path. Without one the path would be that of something else: such a call is not made."""
    text = id.strip() if isinstance(id, str) else ""
    return "" if text in (".", "..") else urllib.parse.quote(text, safe="")


def _credential(name: str, value: str) -> str:
    """A credential as headers take it. The error does not show it."""
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise ValueError(f"{name} is missing")
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError(f"{name} holds a character that no header can have")
    return text


def _retry_after(value: Optional[str]) -> Optional[float]:
    text = (value or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text) or None
    try:
        at = email.utils.parsedate_to_datetime(text)
        return max(0.0, at.timestamp() - time.time()) or None
    except (TypeError, ValueError, IndexError):
        return None
