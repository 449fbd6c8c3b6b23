"""The study's YAML, composed: the baseline under each profile, overrides, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from trm_scaling.config.compose import compose, dump, load
from trm_scaling.config.fields import value_of
from trm_scaling.config.identity import identity
from trm_scaling.errors import UserError
from trm_scaling.io import machine
from trm_scaling.io.machine import fast_precision
from trm_scaling.tasks.task import spec_of

CONFIGS = Path(__file__).resolve().parents[2] / "kellen" / "configs"

BASELINE: dict[str, Any] = {
    "arch.L_layers": 2,
    "arch.H_cycles": 3,
    "arch.L_cycles": 6,
    "arch.hidden_size": 512,
    "arch.num_heads": 8,
    "arch.expansion": 4,
    "arch.mlp_t": True,
    "arch.pos_encodings": "none",
    "arch.puzzle_emb_len": 16,
    "arch.puzzle_emb_ndim": 512,
    "arch.forward_dtype": "bfloat16",
    "arch.halt_max_steps": 16,
    "arch.halt_exploration_prob": 0.1,
    "arch.loss": "stablemax_cross_entropy",
    "data.source": "hub",
    "data.path": None,
    "data.train_size": 1000,
    "data.num_aug": 1000,
    "data.test_size": None,
    "global_batch_size": 6144,
    "epochs": 50_000,
    "eval_interval": 5_000,
    "lr": 1e-4,
    "lr_warmup_steps": 2_000,
    "lr_min_ratio": 1.0,
    "beta1": 0.9,
    "beta2": 0.95,
    "weight_decay": 1.0,
    "puzzle_emb_lr": 1e-4,
    "puzzle_emb_weight_decay": 1.0,
    "optimizer": "adam_atan2",
    "ema": True,
    "ema_rate": 0.999,
    "seed": 0,
}
"""The published study's baseline, by hand."""


def value(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = getattr(config, part)
    return config


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A copy of the study's configurations that a test may spoil."""
    return Path(shutil.copytree(CONFIGS, tmp_path / "configs"))


def test_the_papers_baseline_is_the_published_one() -> None:
    config = compose(CONFIGS, "baseline", "paper")
    assert {key: value(config, key) for key in BASELINE} == BASELINE
    assert spec_of(config.data) == (11, 81, 1, (9, 9))
    assert (config.name, config.profile) == ("baseline", "paper")


@pytest.mark.parametrize(
    ("profile", "side", "seq_len", "dtype"),
    [("paper", 9, 81, "bfloat16"), ("laptop", 6, 36, fast_precision().dtype), ("smoke", 4, 16, "float32")],
)
def test_each_profile_composes(profile: str, side: int, seq_len: int, dtype: str) -> None:
    config = compose(CONFIGS, "baseline", profile)
    assert config.profile == profile
    assert (value_of(config, "data.side"), spec_of(config.data).seq_len, spec_of(config.data).vocab_size) == (
        side,
        seq_len,
        side + 2,
    )
    assert config.arch.forward_dtype == dtype
    assert config.data.source == ("hub" if profile == "paper" else "generated")
    assert config.arch.puzzle_emb_ndim == config.arch.hidden_size
    assert config.lr_warmup_steps < config.epochs * config.data.train_size // config.global_batch_size


def test_the_puzzle_embedding_follows_the_width() -> None:
    wide = compose(CONFIGS, "baseline", "paper", ["arch.hidden_size=768"])
    assert (wide.arch.hidden_size, wide.arch.puzzle_emb_ndim) == (768, 768)
    own = compose(CONFIGS, "baseline", "paper", ["arch.hidden_size=768", "arch.puzzle_emb_ndim=100"])
    assert own.arch.puzzle_emb_ndim == 100


def test_overrides_lie_on_top_of_profile_and_baseline() -> None:
    overrides = [
        "lr=3e-4",
        "arch.L_cycles=4",
        "system.micro_batch_size=2",
        "+data.max_rating=5",
        "++epochs=300",
    ]
    config = compose(CONFIGS, "baseline", "smoke", overrides)
    plain = compose(CONFIGS, "baseline", "smoke")
    assert (config.lr, value_of(config, "arch.L_cycles"), config.epochs) == (3e-4, 4, 300)
    assert (config.system.micro_batch_size, value_of(config, "data.max_rating")) == (2, 5)
    assert value_of(config, "arch.H_cycles") == value_of(plain, "arch.H_cycles")
    assert config.data.train_size == plain.data.train_size


def test_null_and_text_overrides() -> None:
    config = compose(CONFIGS, "baseline", "paper", ["data.source=lists/hard.csv", "data.test_size=null"])
    assert (config.data.source, config.data.test_size) == ("lists/hard.csv", None)


@pytest.mark.parametrize(
    ("name", "profile", "parts"),
    [
        ("basline", "paper", ["no experiment 'basline'", "nearest: baseline"]),
        ("qqq", "paper", ["no experiment 'qqq'", "known: baseline"]),
        ("baseline", "papr", ["no profile 'papr'", "nearest: paper"]),
        ("baseline", "qqq", ["no profile 'qqq'", "known: ", "laptop"]),
    ],
)
def test_unknown_names_are_answered_with_known_ones(name: str, profile: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        compose(CONFIGS, name, profile)
    for part in parts:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("lr", "write key=value"),
        ("=3", "unknown key"),
        ("lr=[1", "write key=value"),
        ("~lr", "only key=value"),
        ("lr=1e-4,3e-4", "only key=value"),
        ("lr=range(1,3)", "only key=value"),
        ("lr@arch=1", "only key=value"),
        ("name=other", "by its name"),
        ("profile=smoke", "--profile"),
        ("arch.L_cycels=4", "did you mean 'arch.L_cycles'"),
        ("lrr=4", "unknown key 'lrr'"),
    ],
)
def test_overrides_that_are_not_key_and_value_are_refused(override: str, part: str) -> None:
    with pytest.raises(UserError) as refusal:
        compose(CONFIGS, "baseline", "paper", [override])
    assert override in str(refusal.value)
    assert part in str(refusal.value)


def test_an_impossible_override_says_where_it_came_from() -> None:
    with pytest.raises(UserError, match=r"baseline under profile smoke: .*pos_encodings=none.*mlp_t=false"):
        compose(CONFIGS, "baseline", "smoke", ["arch.mlp_t=false"])


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("seed: 0", "seed: [unclosed", "baseline"),
        ("seed: 0", "seed: ${nothing}", "'nothing' not found"),
        ("arch: trm_baseline", "arch: trm_baselin", "trm_baselin"),
        ("seed: 0", "sed: 0", "did you mean 'seed'"),
    ],
    ids=["yaml", "interpolation", "defaults", "key"],
)
def test_a_broken_file_of_the_study_is_a_message(study: Path, old: str, new: str, part: str) -> None:
    file = study / "baseline.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(UserError, match="baseline under profile paper") as refusal:
        compose(study, "baseline", "paper")
    assert part in str(refusal.value)


def test_a_field_that_no_file_names_can_be_set() -> None:
    assert compose(CONFIGS, "baseline", "paper", ["arch.rope_theta=100"]).arch.rope_theta == 100


@pytest.mark.parametrize("content", [b"lr: [1", b"just words", b"", b"- 1\n", b"\xff\xfe\x00"])
def test_what_is_not_a_runs_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml"):
        load(file)


def test_a_missing_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.yaml"):
        load(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("sets", "platforms", "dtype"),
    [
        ({"amx_bf16", "avx2"}, "cpu", "bfloat16"),
        ({"avx512_bf16"}, "cpu", "bfloat16"),
        ({"avx2", "avx512f"}, "cpu", "float32"),
        ({"avx2"}, "cuda,cpu", "bfloat16"),
    ],
)
def test_automatic_precision_is_the_fast_one_of_the_machine_before_the_identity(
    sets: set[str], platforms: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "instruction_sets", lambda: frozenset(sets))
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    config = compose(CONFIGS, "baseline", "laptop", ["arch.forward_dtype=auto"])
    assert config.arch.forward_dtype == dtype
    assert identity(config) == identity(
        compose(CONFIGS, "baseline", "laptop", [f"arch.forward_dtype={dtype}"])
    )
    assert "auto" not in dump(config)


def test_instruction_sets_are_those_of_this_processor() -> None:
    if not Path("/proc/cpuinfo").exists():
        assert machine.instruction_sets() == frozenset()
    elif "fpu" in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        assert "fpu" in machine.instruction_sets()
