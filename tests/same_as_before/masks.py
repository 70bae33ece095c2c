"""Takes out of a text what may differ between two runs, and nothing else.

Codes and digests are numbered in the order in which they first appear, so that it still
shows which of them are the same one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

# Names that settings had before they took those of the CSV's columns, and classes and
# style sheets before they had plain ones.
RENAMED = {
    "nst-desk": "nst-overview",
    "content_layers": "content_layer",
    "tv_weights": "tv_weight",
    "start_from": "start",
}

_MONTHS = (
    "Jan\\.|Feb\\.|March|April|May|June|July|Aug\\.|Sept\\.|Oct\\.|Nov\\.|Dec\\.|"
    "January|February|August|September|October|November|December"
)

# In this order. A replacement may use groups.
PLAIN: list[tuple[str, str]] = [
    (r'(name="csrfmiddlewaretoken" value=")[^"]*', r"\1TOKEN"),
    (r"('nonce-)[^']*", r"\1NONCE"),
    (r'(nonce=")[^"]*', r"\1NONCE"),
    # A static file's folder and fingerprint.
    (r"/static/(?:[\w.-]+/)*([\w-]+(?:\.[\w-]+)*?)(?:\.[0-9a-f]{12})?\.(\w+)\b",
     r"/static/\1.\2"),
    (r"/static/desk\.css", "/static/pages.css"),
    (r"/static/screen\.js", "/static/client_info.js"),
    (r"CONTENT_LAYERS\b", "CONTENT_LAYER"),  # in a command's help
    (r"D:\d{14}Z", "TIME"),  # in a PDF
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?", "TIME"),
    (rf"(?:{_MONTHS}) \d+, \d{{4}}(?:, (?:\d+(?::\d\d)? [ap]\.m\.|noon|midnight))?",
     "TIME"),
    (rf"\d+ (?:{_MONTHS}) \d{{4}}(?:, \d\d:\d\d)?", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\b\d\d:\d\d:\d\d\b", "CLOCK"),
    # How fast this machine was just then.
    (r"about [\d.,]+ (?:s|min|minutes?|h|hours?)\b", "about SECONDS"),
    (r'(class="field-seconds_shown">)[\d.]+', r"\1SECONDS"),
    (r'(field-seconds_shown[^§]{0,400}?readonly">)[\d.]+', r"\1SECONDS"),
    (r"Pace: [\d,.]+", "Pace: SOME"),
    (r"^.*\d+%\|.*\n?", ""),  # a progress bar
    (r'("seconds": )[\d.]+', r"\1SECONDS"),
    (r"\b[\w.-]+:\d{2,7}(?=:|</|$)", "WORKER"),
    (r"^expires: .*\n?", ""),
    (r"\b(?:[a-km-np-z2-9]{4}-){5}[a-km-np-z2-9]{4}\b", "RECEIPT"),
    (r"\b0\.1\.0(?:\.dev0)?\b", "VERSION"),
    (r'("engine": )"\d+"', r"\1ENGINE"),
    (r"(<dt>engine</dt><dd>|NSTLab engine |engine version )\d+", r"\1ENGINE"),
    # Keys of content types and rights, which are made in the order of imports.
    (r"(/admin/r/|\?kind=)\d+", r"\1KEY"),
    (r'<option value="\d+"(?=[^>]*>[^<|]*\|[^<|]*\| Can )', '<option value="KEY"'),
    (r"\b[0-9a-f]{40}\b", "COMMIT"),
]  # fmt: skip

# Numbered by first appearance.
NUMBERED: list[tuple[str, str]] = [
    ("DIGEST", r"\b[0-9a-f]{64}\b"),
    ("UUID", r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
    ("TOKEN", r"\b[0-9a-f]{32}\b"),
    ("SHORT", r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{10,16}\b"),
    (
        "FILE",
        r"(?<=render/)[\w-]{22}|(?<=stimulus/)[\w-]{22}|(?<=bundle/)[\w-]{22}"
        r'|(?<=filename=")[\w-]{22}(?=\.)',
    ),
    ("DATASET", r"(?<=\bstudy-)[0-9a-f]{10}\b|(?<=\bstudy-)[0-9a-f]{10}(?=_)"),
    ("KEY", r'(?<=name="key" value=")[^"]+'),
]


def masked(
    text: str, places: Mapping[str, str], kept: Collection[str] = frozenset()
) -> str:
    """`text` without what is a run's own.

    `places` are words that stand for paths of this run; digests in `kept` stay.
    """
    for word, path in places.items():
        text = text.replace(path, word)
    for old, new in RENAMED.items():
        text = re.sub(rf"(?<![a-zA-Z]){old}(?![a-zA-Z])", new, text)
    for pattern, instead in PLAIN:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    for word, pattern in NUMBERED:
        known: dict[str, str] = {}

        def number(found: re.Match[str], word: str = word,
                   known: dict[str, str] = known) -> str:  # fmt: skip
            if found[0] in kept:
                return found[0]
            return known.setdefault(found[0], f"{word}-{len(known) + 1}")

        text = re.sub(pattern, number, text)
    return text
