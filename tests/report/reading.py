"""A page read back as a browser would: tags, ids, links, text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "br", "hr", "img", "input"})


@dataclass
class Tag:
    """An element with what is in it."""

    name: str
    attributes: dict[str, str]
    children: list["Tag"] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def all(self, name: str = "") -> Iterator["Tag"]:
        """Every element below, in order."""
        for child in self.children:
            if name in ("", child.name):
                yield child
            yield from child.all(name)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Tag("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Tag(tag, {key: value or "" for key, value in attrs})
        self._open[-1].children.append(made)
        if tag not in _VOID:
            self._open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Tag(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].name == tag, f"</{tag}> closes <{self._open[-1].name}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for each in self._open:
            each.pieces.append(data)

    def close(self) -> None:
        super().close()
        assert self._open == [self.root], f"never closed: {[each.name for each in self._open[1:]]}"


def read(document: str) -> Tag:
    """The document's tree. Fails where a tag is closed by another, or never."""
    reader = _Reader()
    reader.feed(document)
    reader.close()
    return reader.root


def cells(table: Tag) -> list[list[str]]:
    """The text of a table's body."""
    (body,) = table.all("tbody")
    return [[cell.text.strip() for cell in row.children] for row in body.children]
