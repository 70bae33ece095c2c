"""Every setting of the lab, read from the environment once.

One machine needs none of them: SQLite, an embedded Valkey and pictures under
`var/`. The README's table lists the variables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from nstlab.core import broker
from nstlab.core.env import (
    env_bool,
    env_directory,
    env_int,
    env_list,
    env_secret,
    env_secrets,
    env_text,
    secret_in,
)
from nstlab.core.file_modes import shut_out_others

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = env_directory("NSTLAB_VAR", BASE_DIR / "var")
shut_out_others()
VAR.mkdir(parents=True, exist_ok=True)

DEBUG = env_bool("NSTLAB_DEBUG", False)
# Off only where the lab is reached over plain http on purpose: demo, dev, tests.
HTTPS = env_bool("NSTLAB_HTTPS", not DEBUG)
SECRET_KEY = env_secret("NSTLAB_SECRET_KEY") or secret_in(VAR / "secret_key")
# Keys of before, with which nothing is signed and what is signed is still read.
SECRET_KEY_FALLBACKS = env_secrets("NSTLAB_SECRET_KEY_FALLBACKS")
ALLOWED_HOSTS = env_list("NSTLAB_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = [
    f"{'https' if HTTPS else 'http'}://{host.lstrip('.')}"
    for host in ALLOWED_HOSTS
    if host != "*"
]

INSTALLED_APPS = [
    # From the roof down: a template of an app replaces one of the same name of an app
    # below it. So slots are filled (docs/architecture.md), and so are stock pages of
    # the admin; likewise `rqworker` of nstlab replaces that of django_rq.
    "nstlab",
    "analysis",
    "survey",
    "generation",
    "nstlab.apps.LabAdmin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_rq",
    "django_htmx",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "nstlab.parameters.RefuseUnreadable",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "nstlab.urls"
WSGI_APPLICATION = "nstlab.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Found as an app's, the first: named here too, a template that extends the
        # stock one of its own name would extend itself before that.
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]


# Database ---------------------------------------------------------------------


def database(url: str) -> dict[str, Any]:
    """Django's settings for `url`; SQLite is made fit for several processes.

    WAL lets readers go on while one writes, IMMEDIATE transactions wait for the
    lock instead of failing half-way, and synchronous=FULL keeps a committed
    rating through a power cut. Connections are kept: the last one that closes would
    write the whole log back, with every request.
    """
    try:
        parsed: dict[str, Any] = dict(dj_database_url.parse(url))
    except Exception as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {error}") from error
    if parsed.get("OPTIONS", {}).get("pool"):
        raise ImproperlyConfigured(
            "DATABASE_URL asks for a pool. The lab keeps one connection for each "
            "thread instead, and its workers fork: leave `pool` out, and put PgBouncer "
            "in front of PostgreSQL if it has too few connections."
        )
    if parsed["ENGINE"] == "django.db.backends.sqlite3":
        parsed["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
        # Workers and browsers of the test run are processes of their own, so the
        # test database must be a file they can open, not memory.
        parsed["TEST"] = {"NAME": VAR / "test.sqlite3"}
    else:
        parsed["CONN_HEALTH_CHECKS"] = True
    parsed["CONN_MAX_AGE"] = 60
    return parsed


DATABASES = {
    "default": database(
        env_text("DATABASE_URL") or f"sqlite:///{VAR / 'nstlab.sqlite3'}"
    )
}


# Queue ------------------------------------------------------------------------

BROKER = broker.connection_settings(env_text("NSTLAB_REDIS_URL"), VAR)
# JSON, never pickle: whoever can write to the broker must not run code on workers.
RQ_QUEUES = {
    name: {
        **BROKER,
        "SERIALIZER": "rq.serializers.JSONSerializer",
        "DEFAULT_TIMEOUT": 3600,
        "DEFAULT_RESULT_TTL": 3600,
    }
    for name in ("render-high", "render", "report")
}
RQ = {"WORKER_CLASS": "rq.Worker"}
# The stock dashboard lets any staff user empty a queue; nstlab.admin guards it.
RQ_SHOW_ADMIN_LINK = False

# A worker that has not renewed its lease for this long has lost it.
NSTLAB_LEASE_SECONDS = env_int("NSTLAB_LEASE_SECONDS", 10, minimum=2)
# The renders of one job take about this long, so that a dead worker costs little.
NSTLAB_BATCH_SECONDS = env_int("NSTLAB_BATCH_SECONDS", 45, minimum=1)
# How often a render is begun again after its worker died before it is failed.
NSTLAB_MAX_ATTEMPTS = env_int("NSTLAB_MAX_ATTEMPTS", 5, minimum=1)
# A render that takes longer than this is written down as often, to be gone on with.
NSTLAB_CHECKPOINT_SECONDS = env_int("NSTLAB_CHECKPOINT_SECONDS", 60, minimum=1)
NSTLAB_CHECKPOINTS = env_directory("NSTLAB_CHECKPOINTS", VAR / "checkpoints")
NSTLAB_DEVICE = env_text("NSTLAB_DEVICE", "auto")
NSTLAB_WEIGHTS = env_directory("NSTLAB_WEIGHTS", VAR / "weights")


# Files ------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS: list[Path] = []
MEDIA_ROOT = env_directory("NSTLAB_MEDIA", VAR / "media")
# What finished renders must leave free on the pictures' disk.
NSTLAB_DISK_RESERVE_MB = env_int("NSTLAB_DISK_RESERVE_MB", 512, minimum=0)
# What the pictures of one researcher may take; 0 is no limit.
NSTLAB_QUOTA_MB = env_int("NSTLAB_QUOTA_MB", 0, minimum=0)
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 5000

S3_BUCKET = env_text("NSTLAB_S3_BUCKET")
# The `internal` location under which nginx has MEDIA_ROOT; empty: Python sends files.
NSTLAB_ACCEL = env_text("NSTLAB_ACCEL")
if NSTLAB_ACCEL and S3_BUCKET:
    raise ImproperlyConfigured("NSTLAB_ACCEL is for pictures on a disk, not in S3.")
if NSTLAB_ACCEL and not (NSTLAB_ACCEL.startswith("/") and NSTLAB_ACCEL.endswith("/")):
    raise ImproperlyConfigured("NSTLAB_ACCEL must begin and end with a slash.")


def pictures(bucket: str, endpoint: str) -> dict[str, Any]:
    """Where pictures are kept: on the disk, or in a private bucket that only the lab
    reads. boto3 takes keys and region from its own AWS_ variables."""
    if not bucket:
        return {"BACKEND": "nstlab.core.storage.DurableStorage"}
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket,
            "endpoint_url": endpoint or None,
            "file_overwrite": False,
            # What is read of larger files lies on the disk meanwhile.
            "max_memory_size": 8 * 1024 * 1024,
        },
    }


STORAGES = {
    "default": pictures(S3_BUCKET, env_text("NSTLAB_S3_ENDPOINT")),
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}


# People -----------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"

# People who may join a study from one address in an hour; 0 is no limit.
NSTLAB_JOINS_PER_HOUR = env_int("NSTLAB_JOINS_PER_HOUR", 600, minimum=0)

LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es", "Español"),
    ("pt", "Português"),
    ("it", "Italiano"),
    ("zh-hans", "简体中文"),
    ("ja", "日本語"),
    ("hi", "हिन्दी"),
    ("ar", "العربية"),
]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True


# Security ---------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
# Load balancers and Prometheus ask from inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if HTTPS else 0
# Nothing to other sites. Not "no-referrer": browsers then post `Origin: null`, which
# the CSRF check refuses.
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "nstlab.errors.csrf_failure"
# Only behind a proxy that sets the header itself on every request.
BEHIND_PROXY = env_bool("NSTLAB_BEHIND_PROXY", False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

NSTLAB_METRICS_TOKEN = env_text("NSTLAB_METRICS_TOKEN")


# Logs -------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "nstlab.logs.Discreet",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env_text("NSTLAB_LOG_LEVEL", "WARNING")},
    "loggers": {
        # Without handlers of their own, which know no discretion.
        "django": {"level": "INFO"},
        "django.server": {"level": "WARNING", "handlers": ["stderr"]},
        # Its own handler would print the addresses of peers.
        "gunicorn.error": {"handlers": ["stderr"], "propagate": False},
        "nstlab": {"level": "INFO"},
        "generation": {"level": "INFO"},
        "survey": {"level": "INFO"},
        "analysis": {"level": "INFO"},
    },
}
