"""ARC as a task. Loads neither JAX nor NumPy until grids are asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_scaling.tasks.arc.description import VOCAB_SIZE, ArcData
from trm_scaling.tasks.task import Built, Chosen, Task, TaskSpec

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from trm_scaling.tasks.arc.embedded import ArcAugmentations
    from trm_scaling.tasks.arc.picture import GridPicture
    from trm_scaling.tasks.dataset import Dataset, Split
    from trm_scaling.tasks.folder import Progress


class Arc(Task):
    """Pairs of coloured grids, a few of each task. The label is the output grid."""

    description = ArcData
    puzzles = "pairs"
    maps_ids = True
    caution = (
        "ARC is trained transductively: the demonstrations of the tested tasks are trained on, and each "
        "augmented puzzle has its own embedding"
    )
    data: ArcData

    @property
    def spec(self) -> TaskSpec:
        side = self.data.side
        return TaskSpec(VOCAB_SIZE, side**2, self.data.puzzle_ids, (side, side))

    @property
    def title(self) -> str:
        return f"ARC in squares of {self.data.side}x{self.data.side}"

    @property
    def augmentation(self) -> str:
        return "augmentations (symmetries and colours, each with its own puzzle embedding)"

    def told_of_shared(self, about: Mapping[str, Any]) -> str | None:
        if not about:
            return None
        leaks = about["answers_in_training"]
        told = ", ".join(leaks[:5]) + (", ..." if len(leaks) > 5 else "")
        end = f"; test pairs among the training pairs: {len(leaks)} tasks ({told})" if leaks else ""
        return f"{about['tasks']:,} tasks, {about['identifiers']:,} identifiers{end}"

    def build(self, base: Path, progress: "Progress") -> Built:
        from trm_scaling.tasks.arc.splits import built_of, gathered

        return built_of(gathered(self.data, base), self.data)

    def check(self, where: Path, split: "Split") -> None:
        from trm_scaling.tasks.arc.splits import check_rows

        check_rows(where, split.inputs, split.labels)

    @classmethod
    def open_public(cls, path: Path) -> "Dataset | None":
        from trm_scaling.tasks.arc.public_folder import is_arc_folder, open_arc_folder

        return open_arc_folder(path) if is_arc_folder(path) else None

    @classmethod
    def read_map(cls, file: Path) -> tuple[str, bytes]:
        from trm_scaling.tasks.arc.public_folder import read_map
        from trm_scaling.tasks.arc.splits import IDENTIFIERS

        return IDENTIFIERS, read_map(file).to_bytes()

    def embedded(self, dataset: "Dataset") -> "ArcAugmentations":
        from trm_scaling.tasks.arc.embedded import ArcAugmentations

        return ArcAugmentations.of(dataset)

    def augment(self, seed: Any, puzzle: Any, index: Any, inputs: Any, labels: Any) -> Any:
        from trm_scaling.tasks.arc.on_device import augment

        return augment(index, inputs, labels)

    def invert(self, seed: Any, puzzle: Any, index: Any, answers: Any) -> Any:
        from trm_scaling.tasks.arc.on_device import invert

        return invert(index, answers)

    def given(self, inputs: "UInt8[np.ndarray, ' C']") -> str:
        from trm_scaling.tasks.arc.tokens import crop

        rows, columns = crop(inputs[None])[1][0].tolist()
        return f"{rows} x {columns} cells"

    def render(
        self, inputs: Any, answer: Any = None, labels: Any = None, before: Any = None, color: bool = False
    ) -> str:
        from trm_scaling.tasks.arc.picture import terminal

        return terminal(inputs if answer is None else answer, labels, color)

    def render_pair(self, inputs: Any, labels: Any, color: bool = False) -> str:
        from trm_scaling.tasks.arc.picture import side_by_side

        return side_by_side(inputs, labels, color)

    def picture_of(self, chosen: Chosen) -> "GridPicture":
        from trm_scaling.tasks.arc.picture import GridPicture, largest

        pairs = ((chosen.inputs, chosen.labels), *chosen.demonstrations)
        return GridPicture(self.data.side, largest([tokens for pair in pairs for tokens in pair]))

    @property
    def picture(self) -> "GridPicture":
        from trm_scaling.tasks.arc.picture import GridPicture

        return GridPicture(self.data.side, self.spec.grid)
