"""The catalogue of a study: families of experiments, the YAML written from them, names and patterns."""

from trm_scaling.experiments.catalogue import Catalogue, load_catalogue
from trm_scaling.experiments.family import Family, lettered, numbered
from trm_scaling.experiments.writer import main

__all__ = ["Catalogue", "Family", "lettered", "load_catalogue", "main", "numbered"]
