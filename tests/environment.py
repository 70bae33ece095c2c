"""The environment of a test run, set before Django reads its settings.

Loaded by `-p tests.environment` in pyproject.toml. A run has a `var/` of its own, so
that it never touches the developer's lab.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

VAR = tempfile.mkdtemp(prefix="nstlab-test-")
atexit.register(shutil.rmtree, VAR, ignore_errors=True)
os.environ["NSTLAB_VAR"] = VAR
os.environ["NSTLAB_HTTPS"] = "0"
os.environ["NSTLAB_HOSTS"] = "localhost,127.0.0.1,testserver"
os.environ["NSTLAB_LEASE_SECONDS"] = "2"
# Tests empty their broker: never one that a developer's shell names, only the one of
# tests.servers, where each of xdist's processes has a database of its own.
os.environ.pop("NSTLAB_REDIS_URL", None)
if broker := os.environ.get("NSTLAB_TEST_BROKER"):
    number = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    os.environ["NSTLAB_REDIS_URL"] = f"{broker}/{number}"
# Two test processes share two cores, and threads that wait for each other burn them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Playwright's event loop in the main thread makes Django's guard see async code
# where there is none.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
