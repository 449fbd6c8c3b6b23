"""Only what pyproject.toml cannot say: the wheel also holds the study that `trm init` copies."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # an isolated build does not look here

from trm_scaling.io.study import PACKAGED, copy_laboratory  # noqa: E402


class BuildWithStudy(build_py):
    """The package as setuptools builds it, and `kellen/` and `dataset/` as they are in this folder."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copy_laboratory(ROOT, Path(self.build_lib) / "trm_scaling" / PACKAGED)


setup(cmdclass={"build_py": BuildWithStudy})
