"""The seed's Python interface: `from kellen.utils.analysis_tools import *` at the repository's root."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SEEDS_OWN = (
    "plot_model_size_scaling",
    "plot_depth_scaling",
    "plot_batch_size_scaling",
    "compute_scaling_law",
    "parse_wandb_export",
    "generate_experiment_report",
)

FAMILIES = (
    "plot_model_size_scaling",
    "plot_l_cycles_scaling",
    "plot_h_cycles_scaling",
    "plot_depth_recursion_tradeoff",
    "plot_data_scaling",
    "plot_augmentation_scaling",
    "plot_supervision_steps",
    "plot_batch_size_scaling",
    "plot_precision",
    "plot_ema",
    "plot_optimizers",
    "plot_learning_rates",
    "plot_curriculum",
    "plot_adaptive_halting",
)

SEEDS_EXAMPLE = """
from kellen.utils.analysis_tools import *
import pandas as pd
results = pd.read_csv('{folder}/exp01_results.csv')
plot_model_size_scaling(results, '{folder}/plots/model_scaling.png')
plot_depth_scaling(results, '{folder}/plots/depth_scaling.png')
import sys
sys.exit('jax' in sys.modules or 'matplotlib.pyplot' in sys.modules)
"""


def exported() -> list[str]:
    tree = ast.parse((ROOT / "kellen" / "utils" / "analysis_tools.py").read_text(encoding="utf-8"))
    (names,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return list(ast.literal_eval(names))


def test_every_family_and_every_name_of_the_seed_is_there():
    assert set(SEEDS_OWN) | set(FAMILIES) <= set(exported())
    docstring = (ROOT / "kellen" / "utils" / "analysis_tools.py").read_text(encoding="utf-8").split('"""')[1]
    assert [name for name in exported() if f"`{name}" not in docstring and name != "save"] == []


def test_the_seeds_example_runs_as_it_is_written(tmp_path: Path):
    rows = ["experiment,seed,params,test_accuracy,L_cycles,H_cycles"]
    for letter, params, accuracy in (("a", 1_400_000, 0.70), ("b", 5_028_866, 0.80), ("c", 20_000_000, 0.84)):
        rows += [f"exp01{letter},{seed},{params},{accuracy + seed / 100},6,3" for seed in range(3)]
    (tmp_path / "exp01_results.csv").write_text("\n".join(rows) + "\n")
    program = SEEDS_EXAMPLE.format(folder=tmp_path.as_posix())
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "depth_scaling.png",
        "model_scaling.png",
    ]
