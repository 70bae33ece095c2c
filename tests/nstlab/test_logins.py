"""Wrong passwords are counted, for a while, by whom they can be counted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django_rq
import pytest
from django.contrib.auth import get_user_model
from django.core import signing
from django.db import connections
from django.test import Client
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from nstlab.core import counters
from nstlab.logins import COOKIE, MOST_OF_ACCOUNT, MOST_OF_BROWSER, MOST_OF_NETWORK

pytestmark = pytest.mark.broker

LOGIN = "/admin/login/"
RIGHT = "a password that is right"


@pytest.fixture(autouse=True)
def accounts(queues: None, db: None, settings: Any) -> Iterator[None]:
    """Two researchers and one that is not, with passwords that are checked quickly."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    for name, is_staff in (("ada", True), ("ben", True), ("guest", False)):
        user = get_user_model()(username=name, is_staff=is_staff)
        user.set_password(RIGHT)
        user.save()
    yield


def browser(address: str = "192.0.2.1") -> Client:
    return Client(REMOTE_ADDR=address)


def log_in(client: Client, name: str = "ada", password: str = RIGHT) -> Any:
    client.cookies.pop("sessionid", None)
    return client.post(LOGIN, {"username": name, "password": password})


def guess(client: Client, times: int, name: str = "ada") -> list[int]:
    return [log_in(client, name, f"guess {n}").status_code for n in range(times)]


def a_browser_that_logged_in(address: str, name: str = "ada") -> Client:
    client = browser(address)
    assert log_in(client, name).status_code == 302
    return client


def test_after_ten_wrong_passwords_a_network_waits_a_quarter_of_an_hour_at_most() -> (
    None
):
    expected = [200] * MOST_OF_NETWORK + [429] * 3
    assert guess(browser(), MOST_OF_NETWORK + 3) == expected
    refused = log_in(browser())  # also the right one, which could tell
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 15 * 60
    assert "15 minutes" in refused.content.decode()
    assert log_in(browser("192.0.2.2")).status_code == 302
    assert browser().get(LOGIN).status_code == 200


def test_being_refused_does_not_make_it_longer() -> None:
    guess(browser(), MOST_OF_NETWORK)
    server = django_rq.get_connection("render")
    (name,) = server.keys("login:network:*")
    server.expire(name, 100)
    guess(browser(), 5)
    assert int(log_in(browser())["Retry-After"]) <= 100
    server.delete(name)  # the time is over
    assert log_in(browser()).status_code == 302


def test_an_account_that_is_not_there_is_refused_alike() -> None:
    pages = []
    for address, name in (("192.0.2.1", "ada"), ("192.0.2.2", "nobody")):
        assert guess(browser(address), MOST_OF_NETWORK, name) == [200] * 10
        pages.append(log_in(browser(address), name).content)
    assert pages[0] == pages[1]


def test_thirty_wrong_passwords_from_anywhere_close_an_account_to_strangers() -> None:
    home = a_browser_that_logged_in("192.0.2.99")
    for network in range(MOST_OF_ACCOUNT // 5):
        assert guess(browser(f"198.51.100.{network}"), 5) == [200] * 5
    fresh = "203.0.113.1"
    assert log_in(browser(fresh)).status_code == 429
    assert log_in(browser(fresh), "ben").status_code == 302
    # Another browser at the address that ada logged in from, and her own elsewhere.
    assert log_in(browser("192.0.2.99")).status_code == 302
    home.defaults["REMOTE_ADDR"] = fresh
    assert log_in(home).status_code == 302


def test_spaces_around_a_name_make_no_other_account_of_it() -> None:
    """The form takes them away before it looks for the account."""
    spaces = ["", " ", "\t", "\u3000", "  ", "\n"]
    for network, space in enumerate(spaces):
        client = browser(f"198.51.100.{network}")
        assert guess(client, MOST_OF_ACCOUNT // 6, f"{space}ada{space}") == [200] * 5
    assert log_in(browser("203.0.113.1")).status_code == 429
    assert log_in(browser("203.0.113.1"), " ada").status_code == 429


def test_a_browser_that_logged_in_is_not_locked_out_by_others() -> None:
    mine = a_browser_that_logged_in("192.0.2.1")
    guess(browser("192.0.2.1"), MOST_OF_NETWORK + 1)
    assert log_in(browser("192.0.2.1")).status_code == 429
    assert log_in(mine).status_code == 302


def test_a_browser_that_logged_in_has_ten_tries_of_its_own() -> None:
    mine = a_browser_that_logged_in("192.0.2.1")
    assert guess(mine, MOST_OF_BROWSER + 1) == [200] * MOST_OF_BROWSER + [429]
    assert log_in(browser("192.0.2.1")).status_code == 302, "they count for it alone"


def test_a_browser_is_known_for_the_accounts_it_logged_in_to_only() -> None:
    mine = a_browser_that_logged_in("192.0.2.1", "ben")
    assert guess(mine, MOST_OF_NETWORK + 1, "ada") == [200] * MOST_OF_NETWORK + [429]
    assert log_in(mine, "ben").status_code == 302
    both = a_browser_that_logged_in("192.0.2.2", "ben")
    assert log_in(both, "ada").status_code == 302
    guess(browser("192.0.2.2"), MOST_OF_NETWORK)
    assert log_in(both, "ben").status_code == 302
    assert log_in(both, "ada").status_code == 302


def test_a_browser_is_still_known_after_the_secret_key_was_changed(
    settings: Any,
) -> None:
    mine = a_browser_that_logged_in("192.0.2.1")
    of_before = mine.cookies[COOKIE].value
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another key, of random characters"
    settings.SECRET_KEY_FALLBACKS = [old]
    assert guess(browser(), MOST_OF_NETWORK + 1)[-1] == 429
    assert log_in(mine).status_code == 302
    settings.SECRET_KEY_FALLBACKS = []  # it was logged in since: by the new key
    assert log_in(mine).status_code == 302
    mine.cookies[COOKIE] = of_before  # by a key that is not accepted any more
    assert log_in(mine).status_code == 429


def test_a_forged_cookie_helps_nobody() -> None:
    guess(browser(), MOST_OF_NETWORK)
    known = a_browser_that_logged_in("192.0.2.2").cookies[COOKIE].value
    value = signing.loads(known, salt="nstlab.logins")
    for forged in (known[:-1] + "x", signing.dumps(value, salt="another"), "", "a:b"):
        client = browser()
        client.cookies[COOKIE] = forged
        assert log_in(client).status_code == 429


def test_logging_in_forgives_no_wrong_passwords() -> None:
    """Else whoever has one account could guess at all others without end."""
    for _ in range(MOST_OF_NETWORK):
        guess(browser(), 1, "ada")
        log_in(browser(), "ben")
    assert log_in(browser(), "ben").status_code == 429


def test_a_right_password_that_does_not_open_the_admin_counts_as_wrong() -> None:
    statuses = [log_in(browser(), "guest").status_code for _ in range(11)]
    assert statuses == [200] * MOST_OF_NETWORK + [429]


def test_an_ipv6_network_counts_as_one() -> None:
    for host in range(MOST_OF_NETWORK):
        assert guess(browser(f"2001:db8:1:2::{host:x}"), 1) == [200]
    assert guess(browser("2001:db8:1:2:ffff::1"), 1) == [429]
    assert guess(browser("2001:db8:1:3::1"), 1) == [200]


def test_neither_address_nor_name_is_kept() -> None:
    a_browser_that_logged_in("192.0.2.77")
    guess(browser("192.0.2.77"), 2, "a.name@example.org")
    server = django_rq.get_connection("render")
    names = server.keys("login:*")
    assert len(names) == 3  # a known network, a network, an account
    for name in names:
        kept = name + (server.get(name) or b"")
        assert b"192.0.2.77" not in kept and b"example.org" not in kept
        assert 0 < server.ttl(name) <= 90 * 24 * 3600
    cookie = a_browser_that_logged_in("192.0.2.77").cookies[COOKIE]
    assert "ada" not in str(signing.loads(cookie.value, salt="nstlab.logins"))
    assert cookie["httponly"] and cookie["path"] == LOGIN
    assert cookie["samesite"] == "Lax"


@pytest.mark.django_db(transaction=True)
def test_guesses_at_the_same_time_are_counted_all() -> None:
    """As many may slip through as are being checked when the tenth fails."""

    def attempt(_: int) -> int:
        try:
            return guess(browser(), 1)[0]
        finally:
            connections.close_all()

    threads = 4
    with ThreadPoolExecutor(threads) as crowd:
        statuses = list(crowd.map(attempt, range(40)))
    assert set(statuses) == {200, 429}
    assert statuses.count(200) < MOST_OF_NETWORK + threads
    assert log_in(browser()).status_code == 429


def test_without_a_broker_nobody_is_kept_out(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = Retry(NoBackoff(), 0)
    away = Redis(unix_socket_path="/nowhere/valkey.sock", retry=at_once)
    monkeypatch.setattr(counters, "broker", lambda: away)
    assert guess(browser(), MOST_OF_NETWORK + 1) == [200] * (MOST_OF_NETWORK + 1)
    assert log_in(browser()).status_code == 302
