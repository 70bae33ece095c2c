"""The web process: `gunicorn nstlab.wsgi`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nstlab.settings")

# As much as nginx lets through (`client_max_body_size`), and a little more.
DRAINED_BYTES = 520 * 2**20
CHUNK_BYTES = 2**16

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def draining(wrapped: Application) -> Application:
    """`wrapped`, which also reads what a view left unread of a request's body.

    gunicorn closes the connection behind an answer given early, such as a refusal of an
    upload. A proxy that is still sending then meets a broken pipe, and shows people its
    own 502 in place of our sentence.
    """

    def application(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        answer = wrapped(environ, start_response)
        body, left = environ["wsgi.input"], DRAINED_BYTES
        with contextlib.suppress(OSError):  # who sends went away
            while left > 0 and (chunk := body.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
        return answer

    return application


application = draining(get_wsgi_application())
