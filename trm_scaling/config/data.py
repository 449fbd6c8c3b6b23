"""What every dataset is described by. The fields of one task alone stand with that task (`tasks/<task>/`)."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny

from trm_scaling.config.fields import Frozen, Host, Program


class DataConfig(Frozen):
    """A dataset: which task, where its puzzles come from, how many go to each split.

    Every task extends this by a class of its own, whose `task` has the task's name as its default.
    """

    task: Program[str]
    """What the puzzles are."""

    path: Host[str | None] = None
    """A dataset folder to use as it is (ours or the public layout), relative to the study's parent
    folder. None: the dataset described by the other fields, built on demand and shared by runs."""

    source: Host[str] = "hub"
    """`hub` (the public set of the task), `generated`, or the path of a list of one's own."""

    train_size: Host[int] = Field(1000, ge=1)
    """Distinct training puzzles, before augmentation."""

    num_aug: Host[int] = Field(1000, ge=0)
    """Augmentations of each training puzzle beside the puzzle itself (index 0)."""

    val_size: Host[int] = Field(1000, ge=0)
    """Puzzles held out to choose checkpoints by."""

    test_size: Host[int | None] = Field(None, ge=1)
    """Puzzles held out to report; None takes all that the source offers as test."""

    seed: Host[int] = Field(0, ge=0, lt=2**32)
    """Seed of generation, sub-sampling and the splits (not of the training run)."""

    hub_test_size: ClassVar[int | None] = None
    """Test puzzles of the public set, which `source=hub` takes whole by default."""

    @classmethod
    def cells_of(cls, fields: Any) -> Any:
        """Cells of a puzzle by these fields of a description, numbers or columns; None where one is
        missing.
        """
        return None

    @classmethod
    def kinds(cls) -> "tuple[type[DataConfig], ...]":
        """The classes that a field of this type may hold: those of all tasks, or one task's own."""
        if cls is not DataConfig:
            return (cls,)
        from trm_scaling.tasks.task import descriptions

        return descriptions()


def described(values: Any) -> Any:
    """`values` as the description of the task that they name, the usual one where they name none.

    Raises UserError for an unknown task and ValidationError for fields or values that the task refuses.
    """
    if not isinstance(values, Mapping):
        return values
    from trm_scaling.tasks.task import USUAL, task_class

    return task_class(values.get("task", USUAL)).description.model_validate(values)


def usual_data() -> DataConfig:
    """The description of the usual task, every field at its default."""
    description: DataConfig = described({})
    return description


TaskData = Annotated[SerializeAsAny[DataConfig], BeforeValidator(described)]
"""The description of any task, told apart by its field `task`."""
