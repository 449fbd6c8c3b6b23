"""Nothing in the package runs what it reads, and nothing that is read or named leads out of its folder."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.run.tiny import ROOT, make_study
from trm_scaling.config.compose import compose
from trm_scaling.config.study_yaml import check_choice, read_yaml
from trm_scaling.errors import UserError
from trm_scaling.results.csv_file import read_results, write_results
from trm_scaling.results.frame import frame_of

RUNS_CODE = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}
UNPACKS = {"extractall", "unpack_archive", "extract"}
UNPACKERS = {"tar", "bsdtar", "unzip", "gunzip", "7z", "cpio"}
PROCESSES = ("subprocess.", "os.exec", "os.spawn", "os.posix_spawn")
ALLOWED = {
    # git's own archive of a commit of the user's own repository.
    "trm_scaling/run/launch/commit.py": {"subprocess.run of tar"},
    "trm_scaling/io/source.py": {"subprocess.run of tar"},
    # The study's own table of experiments, which is code.
    "trm_scaling/experiments/catalogue.py": {"exec", "compile"},
}
MUST_SAY = {"np.load": ("allow_pickle", False), "torch.load": ("weights_only", True)}
SAFE_LOADERS = {"ValueLoader", "SafeLoader", "CSafeLoader"}


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls that run code, start a shell, unpack archives, or read without saying that they run nothing."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        told = {each.arg: each.value for each in call.keywords}
        says = {key: value.value for key, value in told.items() if isinstance(value, ast.Constant)}
        last = name.rpartition(".")[2]
        # Before Python 3.11.4 tarfile has no filter that refuses what leads out of the folder.
        if name in RUNS_CODE | SHELLS or last in UNPACKS:
            yield call.lineno, name
        if name.startswith(PROCESSES):
            words = (each.value for each in ast.walk(call) if isinstance(each, ast.Constant))
            programs = {str(word).partition(" ")[0].rpartition("/")[2] for word in words}
            yield from ((call.lineno, f"{name} of {program}") for program in programs & UNPACKERS)
        if says.get("shell"):
            yield call.lineno, f"{name}(shell=True)"
        if name in MUST_SAY and says.get(MUST_SAY[name][0]) is not MUST_SAY[name][1]:
            yield call.lineno, f"{name} without {MUST_SAY[name][0]}={MUST_SAY[name][1]}"
        if (
            name in {"yaml.load", "yaml.load_all"}
            and ast.unparse(told.get("Loader", call)) not in SAFE_LOADERS
        ):
            yield call.lineno, f"{name} with another loader"
        if name.startswith("yaml.") and "unsafe" in name:
            yield call.lineno, name


def test_the_package_runs_nothing_that_it_reads() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {danger}"
        for file in sorted((ROOT / "trm_scaling").rglob("*.py"))
        for line, danger in dangers(ast.parse(file.read_text(encoding="utf-8")))
        if danger not in ALLOWED.get(file.relative_to(ROOT).as_posix(), set())
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "eval(x)",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "torch.load(x)",
        "yaml.load(x)",
        "yaml.load(x, Loader=yaml.Loader)",
        "yaml.unsafe_load(x)",
        "tarfile.open(x).extractall()",
        "subprocess.run(['tar', '-xzf', x], check=True)",
        "subprocess.Popen(('/usr/bin/unzip', x))",
    ],
)
def test_each_danger_is_seen(code: str) -> None:
    assert list(dangers(ast.parse(code)))


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [true]", "!!python/name:os.system"])
def test_yaml_makes_plain_values_alone(tmp_path: Path, tag: str) -> None:
    (tmp_path / "config.yaml").write_text(f"lr: {tag}\n")
    with pytest.raises(UserError, match="is not readable YAML"):
        read_yaml(tmp_path / "config.yaml")


def test_a_configuration_with_an_object_of_python_is_not_composed(tmp_path: Path) -> None:
    configs = make_study(tmp_path).configs
    (configs / "experiments" / "evil.yaml").write_text("lr: !!python/object/apply:os.system [true]\n")
    with pytest.raises((UserError, yaml.YAMLError)):
        compose(configs, "evil", "smoke")


@pytest.mark.parametrize("name", ["../evil", "/evil", "..", "", ".", "a/b", "a/../evil"])
def test_a_name_leads_nowhere_but_into_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "experiments"
    (folder / "a").mkdir(parents=True)
    for file in (tmp_path / "evil.yaml", folder / "evil.yaml", folder / "a" / "b.yaml"):
        file.write_text("{}")
    with pytest.raises(UserError, match="no experiment"):
        check_choice(folder, name, "experiment")


words = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)
starts = st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "\n", "'", "'=", "''@", '"', ",", "\ufeff"])


@given(st.lists(st.builds(str.__add__, starts, words), min_size=1, max_size=3))
def test_text_in_a_table_is_no_formula_and_comes_back(tmp_path_factory, names: list[str]) -> None:
    file = tmp_path_factory.mktemp("table") / "t.csv"
    write_results(frame_of([{"experiment": name} for name in names]), file)
    for cell in file.read_text(encoding="utf-8").replace('"', "").splitlines()[1:]:
        assert not cell.startswith(("=", "+", "-", "@"))
    assert read_results(file)["experiment"].tolist() == names
