"""The frozen schema of a run, its composition from YAML, and its identity. Imports no JAX."""

from trm_scaling.config.arch import (
    ArchConfig,
    Architecture,
    CurriculumConfig,
    Depth,
    RecurrentConfig,
    TrmConfig,
)
from trm_scaling.config.data import DataConfig
from trm_scaling.config.run import OptimizerName, RunConfig
from trm_scaling.config.schedule import Schedule, Stage
from trm_scaling.config.system import SystemConfig

__all__ = [
    "ArchConfig",
    "Architecture",
    "CurriculumConfig",
    "DataConfig",
    "Depth",
    "OptimizerName",
    "RecurrentConfig",
    "RunConfig",
    "Schedule",
    "Stage",
    "SystemConfig",
    "TrmConfig",
]
