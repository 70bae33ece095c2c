"""How many wrong passwords are taken, and from whom they are not counted together.

Ten from one network, or thirty for one account from networks that never logged in to
it, and for the rest of fifteen minutes no more are taken there. Nobody can lock others
out by that: a browser that has logged in keeps a signed cookie and is counted alone
(OWASP, “Slow down online guessing attacks with device cookies”). Accounts that do not
exist count like those that do. Addresses and names are kept as HMACs only, in the
broker, for as long as they count.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.crypto import salted_hmac

from nstlab.core import counters

log = logging.getLogger(__name__)

WINDOW_SECONDS = 15 * 60
MOST_OF_NETWORK = 10
MOST_OF_ACCOUNT = 30
MOST_OF_BROWSER = 10
KNOWN_SECONDS = 90 * 24 * 3600
COOKIE = "known_browser"
SALT = "nstlab.logins"
MOST_ACCOUNTS = 8
"""So many accounts one browser is known for, the latest."""


class Attempt:
    """One password that is about to be tried."""

    def __init__(self, request: HttpRequest) -> None:
        # As the form cleans it: else spaces around a name made another of it here.
        typed = request.POST.get("username", "").strip()
        name = get_user_model().normalize_username(typed)
        self.account = _digest("account", name)
        self.network = _digest("network", counters.network_of(request))
        self.browser, self.accounts = _known_browser(request)
        # A cookie of before the secret key was changed names accounts by the old one.
        names = {_digest("account", name, key) for key in settings.SECRET_KEY_FALLBACKS}
        self.names = {self.account, *names}

    def seconds_to_wait(self) -> int:
        """0 if the password may be tried now."""
        return max(counters.seconds_over(name, most) for name, most in self._counted())

    def failed(self) -> None:
        """Count a wrong password, or a right one of somebody who may not come in."""
        for name, most in self._counted():
            if counters.add(name, WINDOW_SECONDS) == most:
                log.warning(
                    "%d wrong passwords within %d minutes: %s is refused for the rest.",
                    most, WINDOW_SECONDS // 60, name.split(":")[1],
                )  # fmt: skip

    def succeeded(self, response: HttpResponse) -> None:
        """Know the network and, by a cookie in `response`, the browser from now on."""
        known = self._known_network()
        counters.asked(lambda it: it.set(known, 1, ex=KNOWN_SECONDS), otherwise=None)
        others = [each for each in self.accounts if each not in self.names]
        value = {
            "browser": self.browser or secrets.token_urlsafe(16),
            "accounts": [self.account, *others][:MOST_ACCOUNTS],
        }
        response.set_cookie(
            COOKIE,
            signing.dumps(value, salt=SALT),
            max_age=KNOWN_SECONDS,
            path=reverse("admin:login"),
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )

    def _counted(self) -> list[tuple[str, int]]:
        """Under which names this attempt counts, and how many each may have."""
        if not self.names.isdisjoint(self.accounts):
            return [(f"login:browser:{self.browser}", MOST_OF_BROWSER)]
        counted = [(f"login:network:{self.network}", MOST_OF_NETWORK)]
        known = self._known_network()
        if not counters.asked(lambda it: it.exists(known), otherwise=0):
            counted.append((f"login:account:{self.account}", MOST_OF_ACCOUNT))
        return counted

    def _known_network(self) -> str:
        return f"login:known:{_digest(self.account, self.network)}"


def _digest(kind: str, value: str, key: str | None = None) -> str:
    """Under a secret key, the lab's own unless another is given."""
    made = salted_hmac(f"{SALT}.{kind}", value, secret=key, algorithm="sha256")
    return made.hexdigest()[:32]


def _known_browser(request: HttpRequest) -> tuple[str, list[str]]:
    """The browser's own name and the accounts that it logged in to; none unsigned."""
    try:
        value: dict[str, Any] = signing.loads(
            request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=KNOWN_SECONDS
        )
    except signing.BadSignature:
        return "", []
    return value["browser"], value["accounts"]
