"""Files from elsewhere, which may be anything."""

import tokenize
import zipfile
import zlib

BROKEN_ARRAYS = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, OverflowError),
    *(zipfile.BadZipFile, zlib.error),
    RuntimeError,  # zipfile: a compression it does not know, or a password
    *(SyntaxError, tokenize.TokenError),  # the header of an array is a Python literal
    MemoryError,  # a header that promises more than any machine holds
)
"""What NumPy raises for an `.npy` or `.npz` file that is none, or a damaged one."""
