"""Errors of requests, in the form in which OpenAI's API answers them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any


class RequestError(Exception):
    """A request that is refused.

    Attributes:
        status: Status of the response, 400 to 599.
        message: What was expected, what was found and what to do.
        param: Name of the field that is wrong.
        code: Name of the kind of error, for programs.
        headers: Headers of the response.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.headers = status, message, param, code, headers

    def content(self) -> dict[str, Any]:
        """The body of the response.

        Example:
            >>> RequestError(HTTPStatus.NOT_FOUND, "There is no such page.").content()["error"]["type"]
            'invalid_request_error'
        """
        kind = "server_error" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            kind = "rate_limit_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> RequestError:
    """The error of a request with a wrong body."""
    return RequestError(HTTPStatus.BAD_REQUEST, message, param=param, code=code)
