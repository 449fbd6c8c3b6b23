"""`python -m trm_scaling` is `trm`, of the Python it is called with."""

from trm_scaling.cli import main

if __name__ == "__main__":
    main()
