"""What every worker of a TPU pod runs; the same command as `trm launch worker`. See --help.

python kellen/experiments/train_tpu.py baseline exp01a
"""

import sys

try:
    from trm_scaling.cli import main
except ModuleNotFoundError as missing:
    sys.exit(
        f"error: {missing.name} is not installed in {sys.executable}: run `make venv`, then "
        "`source .venv/bin/activate` (or pip install -c requirements/constraints.txt -e '.[tpu]')"
    )

if __name__ == "__main__":
    sys.argv[1:1] = ["launch", "worker"]
    main()
