"""Generated YAML: the same bytes each time, never over a person's work."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from trm_scaling.config.compose import compose
from trm_scaling.errors import UserError
from trm_scaling.experiments import Family, load_catalogue, numbered
from trm_scaling.experiments.writer import Verdict, generate, is_generated

ROOT = Path(__file__).resolve().parents[2]
KELLEN = ROOT / "kellen"

WIDE = Family(
    key="own",
    title="Own",
    goal="See.",
    names=numbered("own", 2),
    values={"arch.hidden_size": [512, 640], "lr": [1e-4, 2e-5]},
)


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """The study's sources, nothing generated."""
    for folder in ("", "arch_config", "profile"):
        (tmp_path / "configs" / folder).mkdir(parents=True, exist_ok=True)
    for file in ("baseline.yaml", "arch_config/trm_baseline.yaml", "profile/paper.yaml"):
        shutil.copy(KELLEN / "configs" / file, tmp_path / "configs" / file)
    return tmp_path / "configs"


def verdicts(configs: Path, families: Sequence[Family], write: bool = True) -> dict[str, Verdict]:
    return {
        str(path.relative_to(configs)): verdict for path, verdict in generate(configs, families, write=write)
    }


def script(*arguments: str, study: Path = KELLEN) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(study / "utils" / "generate_experiment_configs.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_the_checked_in_files_are_what_the_table_and_the_sources_make() -> None:
    done = script("--check")
    assert (done.returncode, done.stderr) == (0, "")
    files = sum(is_generated(each.read_text()) for each in (KELLEN / "configs").glob("*/*.yaml"))
    assert done.stdout == f"{files} of {files} files are as they should be\n"


def test_a_file_shows_what_differs_and_what_it_comes_to(configs: Path) -> None:
    generate(configs, [WIDE])
    first, second = ((configs / "experiments" / f"{name}.yaml").read_text() for name in WIDE.names)
    body = second.split("  - _self_\n")[1]
    assert body == "\nfamily: own\nstudies: [arch.hidden_size, lr]\nlr: 2e-05\n"
    assert "# 7,194,626 parameters and 640 of the puzzle embedding\n" in second
    assert "# 8,138 steps of 6,144 puzzles, the first 2,000 of them warm-up\n" in second
    assert "# Own: See.\n" in second
    assert first.split("  - _self_\n")[1].endswith("# nothing differs from the baseline\n")
    arch = (configs / "arch_config" / "own_02_arch.yaml").read_text()
    assert arch.endswith("  - _self_\n\nhidden_size: 640\n")
    assert compose(configs, "own_02", "paper").arch.puzzle_emb_ndim == 640


def test_generating_again_changes_nothing(configs: Path) -> None:
    assert set(verdicts(configs, [WIDE]).values()) == {"written"}
    before = {path: path.stat().st_mtime_ns for path in configs.rglob("*")}
    assert set(verdicts(configs, [WIDE]).values()) == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in configs.rglob("*")} == before


def test_a_changed_source_rewrites_what_it_touches(configs: Path) -> None:
    generate(configs, [WIDE])
    arch = configs / "arch_config" / "trm_baseline.yaml"
    arch.write_text(arch.read_text().replace("hidden_size: 512", "hidden_size: 640"))
    found = verdicts(configs, [WIDE])
    assert found["arch_config/own_01_arch.yaml"] == found["arch_config/own_02_arch.yaml"] == "written"
    assert "hidden_size: 512" in (configs / "arch_config" / "own_01_arch.yaml").read_text()
    assert "hidden_size" not in (configs / "arch_config" / "own_02_arch.yaml").read_text()


@pytest.mark.parametrize("edit", ["value", "comment", "checksum"])
def test_a_file_edited_by_hand_is_left_alone(configs: Path, edit: str) -> None:
    generate(configs, [WIDE])
    file = configs / "experiments" / "own_02.yaml"
    text = file.read_text()
    assert is_generated(text)
    old, new = {"value": ("2e-05", "3e-05"), "comment": ("See", "Look"), "checksum": ("checksum", "sum")}[
        edit
    ]
    file.write_text(text.replace(old, new))
    assert not is_generated(file.read_text())
    assert verdicts(configs, [WIDE])["experiments/own_02.yaml"] == "edited"
    assert file.read_text() == text.replace(old, new)


def test_a_hand_written_file_of_an_entry_s_name_is_left_alone(configs: Path) -> None:
    file = configs / "experiments" / "own_01.yaml"
    file.parent.mkdir()
    file.write_text("lr: 1\n")
    assert verdicts(configs, [WIDE])["experiments/own_01.yaml"] == "edited"
    assert file.read_text() == "lr: 1\n"


def test_what_left_the_table_is_removed_unless_it_was_edited(configs: Path) -> None:
    generate(configs, [WIDE])
    (configs / "experiments" / "mine.yaml").write_text("lr: 1\n")
    edited = configs / "arch_config" / "own_02_arch.yaml"
    edited.write_text(edited.read_text() + "num_heads: 4\n")
    assert verdicts(configs, []) == {
        "experiments/own_01.yaml": "removed",
        "experiments/own_02.yaml": "removed",
        "arch_config/own_01_arch.yaml": "removed",
        "arch_config/own_02_arch.yaml": "edited",
    }
    assert sorted(path.name for path in (configs / "experiments").iterdir()) == ["mine.yaml"]
    assert edited.exists()


def test_without_writing_it_only_says_what_it_would_do(configs: Path) -> None:
    assert set(verdicts(configs, [WIDE], write=False).values()) == {"written"}
    assert not (configs / "experiments").exists()


def test_an_impossible_entry_is_refused_by_name(configs: Path) -> None:
    def own(field: str, value: object, name: str = "x") -> Family:
        return Family("k", "T", "G.", (name,), {field: [value]})

    with pytest.raises(UserError, match="x: lrr is no field of the configuration"):
        generate(configs, [own("lrr", 3)])
    with pytest.raises(UserError, match=r"x: arch.hiden is no field"):
        generate(configs, [own("arch.hiden", 3)])
    with pytest.raises(UserError, match=r"x under profile paper: lr=-1.0"):
        generate(configs, [own("lr", -1.0)])
    with pytest.raises(UserError, match="x is taken by k"):
        generate(configs, [own("lr", 1.0), own("lr", 2.0)])
    with pytest.raises(UserError, match="baseline is taken by the baseline"):
        generate(configs, [own("lr", 1.0, "baseline")])
    with pytest.raises(ValueError, match="2 values of lr for 1 experiments"):
        Family("k", "T", "G.", ("x",), {"lr": [1, 2]})


# `tests/whole/test_contributing.py` goes that way too, by the page.
@pytest.mark.slow
def test_the_seeds_way_to_a_new_experiment(tmp_path: Path) -> None:
    study = tmp_path / "kellen"
    shutil.copytree(KELLEN / "configs", study / "configs")
    shutil.copytree(KELLEN / "utils", study / "utils")
    table = study / "utils" / "generate_experiment_configs.py"
    entry = 'FAMILIES.append(Family("exp11", "Decay", "Find it.", ("exp11a",), {"weight_decay": [0.3]}))\n\n'
    table.write_text(table.read_text().replace("if __name__", entry + "if __name__"))
    assert script("--check", study=study).returncode == 1
    done = script(study=study)
    assert done.stdout.splitlines()[0].split() == ["written", "configs/experiments/exp11a.yaml"]
    assert "exp11a" in load_catalogue(study).names
    assert compose(study / "configs", "exp11a", "paper").weight_decay == 0.3
    assert compose(study / "configs", "exp11a", "laptop").weight_decay == 0.03, (
        "in proportion to the baseline's 0.1"
    )

    file = study / "configs" / "experiments" / "exp11a.yaml"
    file.write_text(file.read_text().replace("0.3", "0.4"))
    done = script(study=study)
    assert done.returncode == 1
    assert "edited by hand, left alone: configs/experiments/exp11a.yaml" in done.stderr
