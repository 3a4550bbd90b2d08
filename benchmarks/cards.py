"""Copies the means of two benchmarks into the model cards, so that every card has the figures of the same run.

    python benchmarks/sequences.py SEQUENCES --rivals FOLDER --out sequences.md
    python benchmarks/crowds.py --data 'images=data/images_*.tar' --rivals FOLDER --out crowds.md
    python benchmarks/cards.py sequences.md crowds.md

What stands in ``src/lockon/assets/*.md`` between the two marks is written anew, the card's own model first, and so is
README's table.
"""

from __future__ import annotations

import argparse
from importlib import resources
from pathlib import Path

FIRST, LAST = "<!-- figures: benchmarks/cards.py -->", "<!-- end of figures -->"
ALARMS = ["false found", "missed"]
EXPLAINED = """

On made-up crowded video (`benchmarks/crowds.py`); false found is the share of the frames without the target that are
"found" all the same, missed the share of those with the box on the target that are not:

"""


def rows(text: str) -> list[list[str]]:
    """The cells of all lines of Markdown tables, without bold."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]


def means(table: list[list[str]]) -> dict[str, list[str]]:
    """AUC and P20 by tracker, from a table with a column for each tracker and a row of means."""
    (mean,) = (row for row in table if row[0] == "mean")
    return {name: cell.split(" / ") for name, cell in zip(table[0][1:], mean[1:], strict=True)}


def alarms(table: list[list[str]]) -> dict[str, list[str]]:
    """The shares of false finds and of misses by tracker."""
    (start,) = (number for number, row in enumerate(table) if row[:3] == ["tracker", *ALARMS])
    return {row[0]: row[1:3] for row in table[start + 1 :]}


def markdown(own: str, head: list[str], figures: dict[str, list[str]]) -> str:
    """A table with a line for each tracker, ``own`` first."""
    names = sorted(figures, key=lambda name: name != own)
    shown = [f"`{name}`" if name.endswith("-tiny") else name for name in names]
    lines = [["", *head], *([show, *figures[name]] for name, show in zip(names, shown, strict=True))]
    body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([body[0], "|---" * len(lines[0]) + "|", *body[1:]])


def fill(path: Path, *parts: str) -> None:
    """Puts text between the marks in a file."""
    before, first, rest = path.read_text().partition(FIRST)
    _, last, after = rest.partition(LAST)
    if not (first and last):
        raise SystemExit(f"{path}: mark the place of the figures by a line {FIRST} and a line {LAST}")
    path.write_text(before + "\n\n".join([FIRST, *parts, LAST]) + after)


def main() -> None:
    """Parses, reads, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("crowds", type=Path)
    args = parser.parse_args()
    real, crowds = means(rows(args.sequences.read_text())), rows(args.crowds.read_text())
    false = alarms(crowds)
    made_up = {name: [*cells, *false[name]] for name, cells in means(crowds).items()}
    head = ["AUC", "P20"]
    for weights in Path(str(resources.files("lockon") / "assets")).glob("*.safetensors"):
        tables = (markdown(weights.stem, names, f) for names, f in ((head, real), ([*head, *ALARMS], made_up)))
        fill(weights.with_suffix(".md"), EXPLAINED.join(tables))
    fill(Path(__file__).parents[1] / "README.md", markdown("", head, real))


if __name__ == "__main__":
    main()
