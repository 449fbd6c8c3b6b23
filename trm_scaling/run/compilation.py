"""JAX's settings for a training process, in one place, before the first array is made."""

import os
from pathlib import Path


def configure_jax() -> None:
    """Keep compiled programs on disk, so that a resume and the next run of the same shape start at once.

    The cache is `$JAX_COMPILATION_CACHE_DIR` or `~/.cache/trm-scaling/jax`.
    """
    import jax

    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(
        Path.home() / ".cache" / "trm-scaling" / "jax"
    )
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
