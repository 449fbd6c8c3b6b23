"""Puzzles of a list with a few more cells given: a network that trains for a quarter of an hour solves some.

    python kellen/analysis/test_time/ease.py IN.csv.gz OUT.csv.gz 8 16

It takes the puzzles that need no guess (rating 0), and adds 8 to 16 cells of the answer, drawn from seed 0.
"""

import csv
import gzip
import random
import sys


def eased(question: str, answer: str, fewest: int, most: int, draw: random.Random) -> str:
    """`question` with so many of its blanks filled in."""
    blanks = [cell for cell, digit in enumerate(question) if digit in ".0"]
    given = set(draw.sample(blanks, draw.randint(fewest, most)))
    return "".join(answer[cell] if cell in given else digit for cell, digit in enumerate(question))


def main() -> None:
    source, target, fewest, most = sys.argv[1:]
    draw = random.Random(0)
    with gzip.open(source, "rt") as read, gzip.open(target, "wt") as write:
        rows = csv.DictReader(read)
        out = csv.DictWriter(write, ["source", "question", "answer", "rating"])
        out.writeheader()
        for row in rows:
            if row["rating"] == "0":
                out.writerow(
                    {**row, "question": eased(row["question"], row["answer"], int(fewest), int(most), draw)}
                )


if __name__ == "__main__":
    main()
