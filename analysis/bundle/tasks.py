"""The job of the `report` queue that makes a bundle."""

from __future__ import annotations

import hashlib
import tempfile
import traceback

from django.core.files import File

from analysis.models import Bundle


def make_bundle(pk: int) -> str:
    """Make bundle `pk`, unless it is made or gone."""
    from analysis.bundle.write import write_bundle

    bundle = Bundle.objects.filter(pk=pk).select_related("study").first()
    if bundle is None or bundle.state == Bundle.State.DONE:
        return "nothing to do"
    try:
        with tempfile.TemporaryFile() as file:
            write_bundle(
                bundle.study,
                file,
                include_simulated=bundle.include_simulated,
                all_pictures=bundle.all_pictures,
            )
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            bundle.finish(file=File(file), sha256=digest)
    except Exception as error:
        bundle.fail(
            f"It could not be made: {type(error).__name__}: {error}",
            traceback.format_exc(),
        )
        raise
    return "done"
