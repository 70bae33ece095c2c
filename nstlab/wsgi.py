"""The web process: `gunicorn nstlab.wsgi`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nstlab.settings")

application = get_wsgi_application()
