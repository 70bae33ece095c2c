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
BOXES = frozenset(["button", "select", "progress"])
AS_IT_IS = frozenset(["pre", "textarea", "script", "style"])


class _Lines(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        # Of each line what it is: block, inline, opens (a box whose inside begins and
        # ends with an edge), closes (it), nothing (what is never seen) or text.
        self.found: list[tuple[str, str]] = []
        self._inside: list[str] = []

    def _tag(self, tag: str, line: str) -> None:
        kind = "block" if tag in BLOCKS else "inline"
        if tag in BOXES:
            kind = "closes" if line.startswith("</") else "opens"
        self.found.append((kind, line))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = "".join(
            f" {name}" if value is None else f' {name}="{_value(name, value)}"'
            for name, value in attrs
        )
        if dict(attrs).get("type") == "hidden":
            self.found.append(("nothing", f"<{tag}{said}>"))
            return
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
        self.found.append(("block", f"<!{decl.lower()}>"))

    def handle_comment(self, data: str) -> None:
        self.found.append(("block", f"<!--{_one_space(data)}-->"))


def _value(name: str, value: str) -> str:
    """An attribute's value; white space around classes says nothing."""
    return _one_space(value).strip(" ") if name == "class" else _one_space(value)


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
        seen = [each for each, _ in found[:place] if each != "nothing"]
        before = seen[-1] if seen else "block"
        coming = (each for each, _ in found[place + 1 :] if each != "nothing")
        after = next(coming, "block")
        begins = before in ("block", "opens")
        ends = after in ("block", "closes")
        text = line.strip(" ")
        if text:
            space_before = line[:1] == " " and not begins
            space_after = line[-1:] == " " and not ends
            lines.append("␣" * space_before + text + "␣" * space_after)
        elif not begins and not ends and before != "text":
            lines.append("␣")
    return lines
