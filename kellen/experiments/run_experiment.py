"""Run one experiment; the same command as `trm run`. See --help."""

import sys

try:
    from trm_scaling.cli import main
except ModuleNotFoundError as missing:
    sys.exit(
        f"error: {missing.name} is not installed in {sys.executable}: run `make venv`, then "
        "`source .venv/bin/activate` (or pip install -c requirements/constraints.txt -e .)"
    )

if __name__ == "__main__":
    sys.argv.insert(1, "run")
    main()
