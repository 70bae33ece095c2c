"""Readers of environment variables that fail loudly on a value they cannot use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


def env_text(name: str, default: str = "") -> str:
    """The variable's text, or the content of the file that `NAME_FILE` points to."""
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        return os.environ.get(name, default)
    if name in os.environ:
        raise ImproperlyConfigured(f"Set {name} or {name}_FILE, not both.")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE cannot be read: {error}") from error


def env_bool(name: str, default: bool) -> bool:
    """True for 1, true, yes, on; False for 0, false, no, off or empty."""
    value = os.environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in TRUE:
        return True
    if value.strip().lower() in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}.")


def env_int(name: str, default: int, *, minimum: int = 0) -> int:
    """A whole number of at least `minimum`."""
    value = os.environ.get(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name} must be a whole number, not {value!r}."
        ) from error
    if number < minimum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum}, not {number}.")
    return number


def env_list(name: str, default: list[str] | None = None) -> list[str]:
    """Comma-separated words; blanks around them and empty ones are dropped."""
    value = os.environ.get(name)
    if value is None:
        return list(default or [])
    return [word.strip() for word in value.split(",") if word.strip()]


SHORTEST_SECRET = 32
"""Characters; `secrets.token_urlsafe(50)` makes 67."""
FEWEST_CHARACTERS = 5
"""That differ, as Django's own check of a deployment asks."""


def env_secret(name: str) -> str:
    """A secret that is long enough not to be guessed; empty if it is not set."""
    secret = env_text(name)
    return _secret(name, secret) if secret else ""


def env_secrets(name: str) -> list[str]:
    """Comma-separated secrets, each as `env_secret` takes them."""
    words = (word.strip() for word in env_text(name).split(","))
    return [_secret(name, word) for word in words if word]


def _secret(name: str, secret: str) -> str:
    if len(secret) >= SHORTEST_SECRET and len(set(secret)) >= FEWEST_CHARACTERS:
        return secret
    raise ImproperlyConfigured(
        f"{name} could be guessed: it needs at least {SHORTEST_SECRET} random "
        'characters, as python -c "import secrets; print(secrets.token_urlsafe(50))" '
        "makes them."
    )


def env_directory(name: str, default: Path) -> Path:
    """An absolute path of a directory, which need not exist yet."""
    path = Path(os.environ.get(name) or default).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ImproperlyConfigured(f"{name} must be a directory, {path} is a file.")
    return path


def secret_in(path: Path) -> str:
    """The secret kept in `path`, made on first use and readable by the owner only.

    Two processes that start together agree: the file appears whole, and the one
    that comes second reads what the first wrote.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(50))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return _secret(str(path), path.read_text(encoding="ascii"))
