"""An HTML page as lines, one for each tag and each text, so that two can be compared.

White space counts in two ways. `lines_of` leaves it out beside tags: what differs
there is another page. `spaces_of` tells where a space shows between words, pictures
and fields of a line: what differs only there looks a little different.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

# Their edges are edges of lines: white space beside them never shows.
BLOCKS = frozenset(
    """
    html head body title meta link script style noscript base div p form fieldset legend
    ul ol li dl dt dd table caption colgroup col thead tbody tfoot tr td th h1 h2 h3 h4
    h5 h6 nav header footer main section article aside figure figcaption details summary
    hr br pre blockquote address option optgroup template svg symbol g path rect circle
    """.split()  # noqa: SIM905 - readable
)
AS_IT_IS = frozenset(["pre", "textarea", "script", "style"])


class _Lines(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, str]] = []  # kind (block, inline, text), line
        self._inside: list[str] = []

    def _tag(self, tag: str, line: str) -> None:
        self.found.append(("block" if tag in BLOCKS else "inline", line))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = "".join(
            f" {name}" if value is None else f' {name}="{_one_space(value)}"'
            for name, value in attrs
        )
        self._tag(tag, f"<{tag}{said}>")
        if tag in AS_IT_IS:
            self._inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()
        self._tag(tag, f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found += [("text", repr(data))]
        elif self.found and self.found[-1][0] == "text":
            self.found[-1] = ("text", _one_space(self.found[-1][1] + data))
        else:
            self.found.append(("text", _one_space(data)))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("block", f"<!{decl}>"))

    def handle_comment(self, data: str) -> None:
        self.found.append(("block", f"<!--{_one_space(data)}-->"))


def _one_space(text: str) -> str:
    # Not the no-break space, which is no white space in HTML.
    return re.sub(r"[ \t\n\r\f]+", " ", text)


def _read(html: str) -> list[tuple[str, str]]:
    reader = _Lines()
    reader.feed(html)
    reader.close()
    return reader.found


def lines_of(html: str) -> list[str]:
    """Tags and texts, a line each, without white space at their edges."""
    lines = [line.strip(" ") for _, line in _read(html)]
    return [line for line in lines if line]


def spaces_of(html: str) -> list[str]:
    """The same with a ␣ where white space beside a tag shows."""
    found = _read(html)
    lines = []
    for place, (kind, line) in enumerate(found):
        if kind != "text" or line[:1] in "'\"":
            lines.append(line)
            continue
        before = found[place - 1][0] if place else "block"
        after = found[place + 1][0] if place + 1 < len(found) else "block"
        text = line.strip(" ")
        shown_before = line[:1] == " " and before == "inline"
        shown_after = line[-1:] == " " and after == "inline"
        if not text:
            if "block" in (before, after):
                continue
            lines.append("␣")
        else:
            lines.append("␣" * shown_before + text + "␣" * shown_after)
    return lines
