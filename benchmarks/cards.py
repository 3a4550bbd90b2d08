"""Copies figures into documents, so that all of them have those of the same runs.

    lockon eval --tracker NAME ... --benchmark folder --data SEQUENCES --out results
    lockon report results --benchmark folder --data SEQUENCES --out report
    python benchmarks/crowds.py --data 'images=data/images_*.tar' --rivals FOLDER --out crowds.md
    python benchmarks/cards.py report crowds.md

What stands between the two marks is written anew: in ``src/lockon/assets/*.md``, with the card's own model first, in
README, and in ``docs/benchmarks.md`` sequence by sequence.
"""

from __future__ import annotations

import argparse
import csv
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


def read_csv(path: Path) -> list[dict[str, str]]:
    """The lines of a table that ``lockon report`` wrote."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def per_sequence(report: Path) -> str:
    """AUC / P20 with a line for each sequence and a column for each tracker, then the means and the speed."""
    summary, every = read_csv(report / "summary.csv"), read_csv(report / "sequences.csv")
    names = [row["tracker"] for row in summary]
    lines = [["sequence", *names]]
    for sequence in dict.fromkeys(row["sequence"] for row in every):
        cells = {
            row["tracker"]: f"{score(row, 'success')} / {score(row, 'precision')}"
            for row in every
            if row["sequence"] == sequence
        }
        lines.append([sequence, *(cells[name] for name in names)])
    lines.append(["**mean**", *(f"**{score(row, 'AUC')} / {score(row, 'P')}**" for row in summary)])
    lines.append(["frames per second", *(speed(row) for row in summary)])
    return grid(lines)


def speed(row: dict[str, str]) -> str:
    """Frames per second, of a tracker that does something."""
    return "-" if row["tracker"] == "still" else f"{float(row['frames/s']):.0f}"


def score(row: dict[str, str], measure: str) -> str:
    """Three decimals."""
    return f"{float(row[measure]):.3f}"


def alarms(table: list[list[str]]) -> dict[str, list[str]]:
    """The shares of false finds and of misses by tracker."""
    (start,) = (number for number, row in enumerate(table) if row[:3] == ["tracker", *ALARMS])
    return {row[0]: row[1:3] for row in table[start + 1 :]}


def markdown(own: str, head: list[str], figures: dict[str, list[str]]) -> str:
    """A table with a line for each tracker, ``own`` first."""
    names = sorted(figures, key=lambda name: name != own)
    shown = [f"`{name}`" if name.endswith("-tiny") else name for name in names]
    lines = [["", *head], *([show, *figures[name]] for name, show in zip(names, shown, strict=True))]
    return grid(lines)


def grid(lines: list[list[str]]) -> str:
    """A Markdown table, the first line its head."""
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
    parser.add_argument("report", type=Path, help="folder that `lockon report` wrote")
    parser.add_argument("crowds", type=Path)
    args = parser.parse_args()
    summary, crowds = read_csv(args.report / "summary.csv"), rows(args.crowds.read_text())
    real = {row["tracker"]: [score(row, "AUC"), score(row, "P")] for row in summary}
    false = alarms(crowds)
    made_up = {name: [*cells, *false[name]] for name, cells in means(crowds).items()}
    head = ["AUC", "P20"]
    for weights in Path(str(resources.files("lockon") / "assets")).glob("*.safetensors"):
        tables = (markdown(weights.stem, names, f) for names, f in ((head, real), ([*head, *ALARMS], made_up)))
        fill(weights.with_suffix(".md"), EXPLAINED.join(tables))
    project = Path(__file__).parents[1]
    fill(project / "README.md", markdown("", head, real))
    fill(project / "docs" / "benchmarks.md", per_sequence(args.report))


if __name__ == "__main__":
    main()
