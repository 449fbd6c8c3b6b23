"""Keys and tokens of the environment are in nothing that a run, its mirror or its report leaves behind."""

import re
from pathlib import Path

import pytest

from tests.run.tiny import make_study, run_command, trm

SECRETS = {
    "WANDB_API_KEY": "5ec7e7" + "0123456789abcdef" * 2 + "01",
    "HF_TOKEN": "hf_PlantedPlantedPlantedPlanted1234",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/planted-credentials.json",
    "AWS_ACCESS_KEY_ID": "AKIAPLANTEDPLANTED77",
    "AWS_SECRET_ACCESS_KEY": "planted+secret/planted+secret/planted+77",
    "AWS_SESSION_TOKEN": "planted-session-token-planted-session",
    "GITHUB_TOKEN": "ghp_PlantedPlantedPlantedPlantedPlanted12",
    "TRM_PLANTED_TOKEN": "planted-under-a-prefix-that-is-recorded",
}
PLANTED = re.compile("|".join(map(re.escape, SECRETS.values())).encode())


def leaks(folder: Path) -> list[str]:
    return [
        f"{path.relative_to(folder)}: {found.group().decode()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
        for found in PLANTED.finditer(path.read_bytes())
    ]


def test_a_leak_is_seen(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"the key is {SECRETS['HF_TOKEN']}.")
    assert leaks(tmp_path) == [f"log: {SECRETS['HF_TOKEN']}"]


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_planted_secrets_are_written_nowhere(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    planted = {**SECRETS, "WANDB_MODE": "offline"}
    run = trm(tmp_path, run_command("epochs=10"), planted)
    assert run.returncode == 0, run.stderr
    failed = trm(tmp_path, run_command("lr=1e4", "lr_warmup_steps=0"), planted)
    assert failed.returncode == 65, failed.stderr
    batch = trm(tmp_path, ["batch", "baseline", "--profile", "smoke", "--dry-run"], planted)
    report = trm(tmp_path, ["report", "--profile", "smoke"], planted)
    assert report.returncode == 0, report.stderr
    said = "".join(each.stdout + each.stderr for each in (run, failed, batch, report))
    assert not PLANTED.search(said.encode())
    assert list((study.checkpoints).rglob("*.wandb")), "the mirror left nothing to look at"
    assert leaks(tmp_path) == []
