"""Tables of a model's card that come out of its figures: what stands between `<!-- NAME -->` and `<!-- end -->`."""

from pathlib import Path


def write(card, **tables):
    """Puts the lines of each table in its place, which the card must have."""
    text = Path(card).read_text()
    for name, lines in tables.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        if begin not in text or end not in text.split(begin, 1)[1]:
            raise SystemExit(f"{card} has no place for the table: `{begin.strip()}` and behind it `{end}`")
        before, rest = text.split(begin, 1)
        text = before + begin + "\n".join(lines) + "\n" + rest[rest.index(end) :]
    Path(card).write_text(text)


def rows(head, *lines):
    """A table's lines out of lists of cells."""
    row = lambda cells: "| " + " | ".join(map(str, cells)) + " |"
    return [row(head), "|" + "---|" * len(head), *map(row, lines)]
