"""Writes plans/02_EXPERIMENT_SPECS.txt: every experiment's goal, values, analysis and cost.

    python kellen/utils/generate_experiment_specs.py           # after a change of the catalogue
    python kellen/utils/generate_experiment_specs.py --check   # only say whether it would change

What is expected of a family stands in the table of generate_experiment_configs.py.
"""

from trm_scaling.cli.specification import main

if __name__ == "__main__":
    main(__file__)
