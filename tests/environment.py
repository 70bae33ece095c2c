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
os.environ.setdefault("OMP_NUM_THREADS", "2")
# Playwright's event loop in the main thread makes Django's guard see async code
# where there is none.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
