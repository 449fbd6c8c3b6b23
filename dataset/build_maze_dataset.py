"""Build a maze dataset; the same command as `trm data maze`. See --help."""

import sys
from pathlib import Path

# So that it runs in a checkout that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trm_scaling.cli.data import main

if __name__ == "__main__":
    main("maze")
