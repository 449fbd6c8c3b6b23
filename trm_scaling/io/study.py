"""Where the study is, and the names of the places in it (the seed's layout)."""

import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

from trm_scaling.errors import UserError
from trm_scaling.io.bucket import bucket_url
from trm_scaling.io.run_folder import RunFolder


@dataclass(frozen=True)
class Study:
    """The folder that holds configurations, runs, logs and results: the seed's `kellen/`."""

    path: Path

    @property
    def configs(self) -> Path:
        """`baseline.yaml`, `arch_config/`, `experiments/`, `profile/`."""
        return self.path / "configs"

    @property
    def experiments(self) -> list[str]:
        """Names that can be run: the baseline and every file in `configs/experiments/`."""
        return ["baseline", *sorted(file.stem for file in (self.configs / "experiments").glob("*.yaml"))]

    @property
    def checkpoints(self) -> Path:
        """`<profile>/<name>/<identity8>-s<seed>/`, one folder a run."""
        return self.path / "checkpoints"

    @property
    def batch_logs(self) -> Path:
        """`<name>_stdout.log` and `<name>_stderr.log`: links to the logs of the newest attempts."""
        return self.path / "logs" / "batch_runs"

    @property
    def batches(self) -> Path:
        """One file for each batch runner at work."""
        return self.path / "logs" / "batches"

    @property
    def process_logs(self) -> Path:
        """`<name>-<process>.log`: what the processes of a run but the first said, where several train it."""
        return self.path / "logs" / "processes"

    @property
    def job_logs(self) -> Path:
        """`<job>_<process>_log.out` and `.err`: what jobs of a Slurm cluster say."""
        return self.path / "logs" / "slurm"

    @property
    def data_root(self) -> Path:
        """What relative dataset paths start from: the folder the study lies in."""
        return self.path.parent

    def run_folder(self, profile: str, name: str, identity: str, seed: int) -> RunFolder:
        """The folder of one run under that name, be it there or not, or a link to another name's."""
        return RunFolder(self.checkpoints / profile / name / f"{identity[:8]}-s{seed}")

    def run_folders(self, profile: str, name: str) -> list[RunFolder]:
        """The runs of an experiment under a profile, the newest last."""
        folders = (self.checkpoints / profile / name).glob("*-s*/config.yaml")
        return [RunFolder(file.parent) for file in sorted(folders, key=lambda file: file.stat().st_mtime)]


_PACKAGE = Path(__file__).resolve().parents[1]


class OtherCode(UserWarning):
    """The study lies in a clone with code of its own, and other code is running."""


def warn_of_other_code(study: Path, running: Path = _PACKAGE) -> None:
    """Warn OtherCode when the clone that holds `study` has an engine, and `running` is another clone's.

    So it is where a clone was copied or moved with its environment, which still names the first place.
    """
    own = study.parent / running.name
    is_clone = (study.parent / "pyproject.toml").is_file() and (own / "__init__.py").is_file()
    if is_clone and own.resolve() != running and (running.parent / "pyproject.toml").is_file():
        warnings.warn(
            f"the code that runs is that of {running}, and the study is {study}, beside {own}: was the clone "
            f"copied or moved? `make venv` in {study.parent} gives it an environment of its own",
            OtherCode,
            stacklevel=3,
        )


def find_study(given: Path | None = None) -> Study:
    """The study at `given`, else `$TRM_STUDY`, else the nearest `kellen/` in this folder or above.

    A URL (gs://BUCKET/kellen, s3://...) is mirrored on this machine, and the mirror brought up to date.
    Raises UserError when there is none.
    """
    named = given or (Path(os.environ["TRM_STUDY"]) if os.environ.get("TRM_STUDY") else None)
    if (url := bucket_url(named)) is not None:
        from trm_scaling.io.bucket_study import open_mirror

        return Study(open_mirror(url).resolve())
    if named is not None:
        if not (named / "configs" / "baseline.yaml").is_file():
            raise UserError(
                f"{named} is not a study: it has no configs/baseline.yaml; name the folder kellen/"
            )
        warn_of_other_code(named.resolve())
        return Study(named.resolve())
    return nearest_study()


def nearest_study() -> Study:
    """The nearest `kellen/` in this folder or above. Raises UserError when there is none."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        for candidate in (folder / "kellen", folder):
            if (candidate / "configs" / "baseline.yaml").is_file():
                warn_of_other_code(candidate)
                return Study(candidate)
    raise UserError(
        f"no study found: neither {here} nor a folder above it holds kellen/configs/baseline.yaml; "
        "change into the repository, or name the study with --study or TRM_STUDY"
    )


PACKAGED = "starter"
"""The folder of an installed `trm_scaling` that holds it."""

PARTS = (
    "dataset",
    *("kellen/configs", "kellen/experiments", "kellen/plans", "kellen/utils", "kellen/SETUP_GUIDE.md"),
    "kellen/analysis/data/compiled",  # what a pod's compiler said, by which `trm plan` chooses micro-batches
)
"""Without what runs leave behind, and without the report of the published study."""


def make_laboratory(folder: Path) -> Path:
    """Copy the study into `folder`, as `folder/kellen` and `folder/dataset`. Returns the first of them.

    Raises UserError when one of the two is there already, when this installation holds no study, and when the
    disk refuses.
    """
    source = laboratory()
    for name in ("kellen", "dataset"):
        if (folder / name).exists():
            raise UserError(f"{folder / name} exists already and is left as it is; choose another folder")
    try:
        copy_laboratory(source, folder)
    except OSError as error:
        raise UserError(f"{folder} could not be written: {error.strerror or error}") from error
    return folder / "kellen"


def laboratory() -> Path:
    """The folder that holds `kellen/` and `dataset/`: in the installed package, else the clone.

    Raises UserError when there is none.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / PACKAGED, package.parent):
        if (folder / "kellen" / "configs" / "baseline.yaml").is_file():
            return folder
    raise UserError(
        f"{package} was installed without the study: install the wheel that `python -m build` makes, or "
        "clone the repository, where kellen/ is one already"
    )


def copy_laboratory(source: Path, target: Path) -> None:
    """Copy the parts of the laboratory at `source` that are content, not results, into `target`."""
    for part in PARTS:
        place = target / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / part, place, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / part, place)
