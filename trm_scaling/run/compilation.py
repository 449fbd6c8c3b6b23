"""JAX's settings for a training process, in one place, before the first array is made."""

import os
import re
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

_UNREADABLE = re.compile(r"Error reading persistent compilation cache entry for '([\w.-]+)'")
"""JAX's warning before it compiles anew. It never replaces the entry: the next process would warn again."""


def cache_folder() -> Path:
    """Of compiled programs: `$JAX_COMPILATION_CACHE_DIR`, else below `$XDG_CACHE_HOME` or `~/.cache`."""
    if named := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trm-scaling" / "jax"


def configure_jax() -> None:
    """For a process of ours: keep compiled programs, and refuse to promote dtypes or ranks silently."""
    import jax

    keep_programs()
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")


def keep_programs() -> None:
    """Keep compiled programs on disk, so that a resume and the next run of the same shape start at once.

    JAX does not write the cache in one step, so a process that is killed may leave half a program there: such
    an entry is deleted when it is met, and the program compiled and kept anew.
    """
    import jax

    folder = cache_folder()
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    if not hasattr(warnings.showwarning, "mends_cache"):
        warnings.showwarning = _mending(folder, warnings.showwarning)


def _mending(folder: Path, show: Callable[..., None]) -> Callable[..., None]:
    """`show`, but for JAX's warning of an entry it cannot read: that entry goes, and one line says so."""

    @wraps(show)
    def mend_or_show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        found = _UNREADABLE.match(str(message))
        torn = remove_torn_programs(folder, found[1]) if found else []
        if torn:
            names = ", ".join(path.name for path in torn)
            message = f"half a compiled program lay in {folder} and was deleted; it is compiled anew: {names}"
        show(message, category, *where)

    mend_or_show.mends_cache = True  # type: ignore[attr-defined]
    return mend_or_show


def remove_torn_programs(folder: Path, module: str) -> list[Path]:
    """Delete the entries of an XLA module in JAX's cache that are not whole. Returns them."""
    # As JAX wrote them: which compression it uses depends on what is installed.
    from jax._src.compilation_cache import decompress_executable

    torn = [path for path in folder.glob(f"{module}-*-cache") if not _is_whole(path, decompress_executable)]
    for path in torn:
        path.unlink(missing_ok=True)
    return torn


def _is_whole(path: Path, decompress: Callable[[bytes], bytes]) -> bool:
    try:
        decompress(path.read_bytes())
    except Exception:
        # Of whichever library decompresses; JAX does not tell them apart either.
        return False
    return True
