"""Several runs as one program: each computes what it computes alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.tiny import config_of, feed_of, hyper_of, state_of
from trm_scaling.config import RunConfig
from trm_scaling.train.call import CallMetrics, Feed, make_train_call
from trm_scaling.train.stacking import Stacking
from trm_scaling.train.state import TrainState

STEPS = 5
RUNS = 3
