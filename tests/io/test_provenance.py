"""Provenance: the code's true state, and no secrets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trm_scaling.errors import UserError
from trm_scaling.io import source as source_module
from trm_scaling.io.provenance import collect_provenance
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.io.secrets import masked_arguments, masked_environment, masked_text
from trm_scaling.io.source import read_code_state


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "package").mkdir(parents=True)
    (root / "package" / "model.py").write_text("width = 1\n")
    (root / ".gitignore").write_text(".venv/\n")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def test_a_clean_checkout_is_its_commit(checkout: Path) -> None:
    provenance = collect_provenance(["cpu"], source=checkout / "package")
    assert provenance.commit == git(checkout, "rev-parse", "HEAD")
    assert (provenance.dirty, provenance.diff, provenance.untracked_python) == (False, "", ())


def test_uncommitted_code_is_kept_and_can_be_applied(checkout: Path, tmp_path: Path) -> None:
    (checkout / "package" / "model.py").write_text("width = 2\n")
    git(checkout, "add", ".")
    (checkout / "package" / "new.py").write_text("")
    (checkout / "package" / "notes.txt").write_text("")
    folder = RunFolder(tmp_path / "run")
    folder.record_provenance(collect_provenance([], source=checkout / "package"))
    (checkout / "package" / "model.py").write_text("width = 3\n")
    folder.record_provenance(collect_provenance([], source=checkout / "package"))

    first, second = json.loads(folder.provenance.read_text())
    assert first["dirty"] is True
    assert first["untracked_python"] == ["package/new.py"]
    assert (first["diff_file"], second["diff_file"]) == ("uncommitted.diff", "uncommitted-1.diff")
    git(checkout, "reset", "-q", "--hard")
    git(checkout, "apply", str(folder.path / first["diff_file"]))
    assert (checkout / "package" / "model.py").read_text() == "width = 2\n"


def test_an_untracked_file_alone_makes_it_dirty(checkout: Path) -> None:
    (checkout / "new.py").write_text("")
    assert collect_provenance([], source=checkout).dirty is True


def test_the_tree_that_ran_is_given_back(checkout: Path, tmp_path: Path) -> None:
    (checkout / "package" / "model.py").write_text("width = 2\n")
    new = {"package/new.py": "depth = 3\n", "configs/mine.yaml": "lr: 0.1\n", "package/sub/é.py": "x = 'ü'\n"}
    for name, text in new.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    key = "hf_" + "a" * 30
    (checkout / "keys.py").write_text(f"token = '{key}'\n")
    (checkout / "data.csv").write_text("1,2\n")
    (checkout / "large.py").write_text("x = 1\n" * 60_000)
    folder = RunFolder(tmp_path / "run")
    folder.record_provenance(collect_provenance([], source=checkout / "package"))
    (entry,) = json.loads(folder.provenance.read_text())
    assert [each.split(":")[0] for each in entry["left_out"]] == ["keys.py", "large.py"]
    assert key not in "".join(file.read_text() for file in folder.path.iterdir())
    for name in new:
        (checkout / name).unlink()
    git(checkout, "reset", "-q", "--hard")

    kept = json.loads((folder.path / entry["untracked_file"]).read_text())
    diff = (folder.path / entry["diff_file"]).read_text()
    source_module.restore(checkout / "package", entry["commit"], diff, kept, tmp_path / "again")
    assert (tmp_path / "again" / "package" / "model.py").read_text() == "width = 2\n"
    assert {name: (tmp_path / "again" / name).read_text() for name in new} == new
    assert not (tmp_path / "again" / "data.csv").exists()


def test_what_cannot_be_given_back_is_refused(checkout: Path, tmp_path: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    with pytest.raises(UserError, match="has no commit 000000000000"):
        source_module.restore(checkout, "0" * 40, None, {}, tmp_path / "a")
    with pytest.raises(UserError, match="do not apply"):
        source_module.restore(checkout, commit, "--- a/x\n+++ b/x\n@@ cut", {}, tmp_path / "b")
    with pytest.raises(UserError, match="outside of"):
        source_module.restore(checkout, commit, None, {"../evil.py": ""}, tmp_path / "c")
    assert not (tmp_path / "evil.py").exists()
    with pytest.raises(UserError, match="is not empty"):
        source_module.restore(checkout, commit, None, {}, checkout)


def test_a_huge_diff_is_cut(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_DIFF_LIMIT", 500)
    (checkout / "package" / "model.py").write_text("width = 2\n" * 1000)
    state = read_code_state(checkout)
    assert state is not None
    assert state.diff.endswith("... cut at 500 bytes\n")
    assert len(state.diff) < 600


def test_outside_of_a_checkout_nothing_is_claimed(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = checkout / ".venv" / "package"
    installed.mkdir(parents=True)
    plain_folder = tmp_path / "plain"
    plain_folder.mkdir()
    for folder in (installed, plain_folder):
        provenance = collect_provenance([], source=folder)
        assert (provenance.commit, provenance.dirty, provenance.diff) == (None, None, None)
    monkeypatch.setenv("PATH", "")
    assert collect_provenance([], source=checkout).commit is None


def test_the_machine_and_the_versions_are_told() -> None:
    provenance = collect_provenance(["TPU v4 x 32"])
    assert provenance.devices == ("TPU v4 x 32",)
    assert provenance.packages["numpy"].count(".") >= 1
    assert provenance.cpu_cores >= 1
    assert provenance.memory_bytes is None or provenance.memory_bytes > 1 << 28


HEX_KEY = "0123456789abcdef" * 2 + "01234567"


def test_secrets_on_the_command_line_are_masked() -> None:
    hub_token = "hf_" + "a1B2" * 8
    command = ["trm", "--api-key", "abc", "wandb.token=abc", HEX_KEY, hub_token, "--password=abc", "lr=1e-4"]
    assert masked_arguments(command) == (
        *("trm", "--api-key", "***", "wandb.token=***", "***", "***", "--password=***", "lr=1e-4"),
    )
    ordinary = ["trm", "run", "baseline", "--token-mixing", "arch.hidden_size=512", "a=b=c", "data/x.csv.gz"]
    assert masked_arguments(ordinary) == tuple(ordinary)
    assert masked_arguments(["https://me:pass@host/x"]) == ("https://***@host/x",)


def test_only_listed_environment_variables_are_told() -> None:
    environment = {
        "XLA_FLAGS": "--xla_x=1",
        "TRM_HUB_TOKEN": "abc",
        "JAX_COORDINATOR_ADDRESS": "machine:1",
        "HOME": "/home/me",
        "WANDB_API_KEY": HEX_KEY,
    }
    provenance = collect_provenance([], environment=environment)
    assert provenance.environment == {
        "JAX_COORDINATOR_ADDRESS": "***",
        "TRM_HUB_TOKEN": "***",
        "XLA_FLAGS": "--xla_x=1",
    }
    assert masked_environment({"JAX_PLATFORMS": "cpu"}) == {"JAX_PLATFORMS": "cpu"}


def test_secrets_in_a_diff_are_masked_and_hashes_are_not() -> None:
    diff = f'+api_key = "{HEX_KEY}"\n+WANDB_API_KEY={HEX_KEY}\n-numpy sha256:{HEX_KEY}\n+token_count = 7\n'
    masked = '+api_key = "***"\n+WANDB_API_KEY=***\n' + f"-numpy sha256:{HEX_KEY}\n+token_count = 7\n"
    assert masked_text(diff) == masked


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n{0}MIIEowIBAAKCAQEA\n{0}-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f'{{"api_key": "{HEX_KEY}", "a": 1}}', '{"api_key": "***", "a": 1}'),
        ("{'password': 'correct horse', 'a': 1}", "{'password': '***', 'a': 1}"),
        (r'"{\"api_key\": \"short\", \"a\": 1}"', r'"{\"api_key\": \"***\", \"a\": 1}"'),
        (f'API_KEYS = "{HEX_KEY},{HEX_KEY}"', 'API_KEYS = "***"'),
        (f"credentials = {HEX_KEY}", "credentials = ***"),
        ("passwd = correct-horse", "passwd = ***"),
        ('secret_key = "it\\"s short" # x', 'secret_key = "***" # x'),
        ('os.environ["HUB_TOKEN"] = "abc"', 'os.environ["HUB_TOKEN"] = "***"'),
        ('password = b"abc"; x = "y"', 'password = b"***"; x = "y"'),
        ("password=a,bcdefgh", "password=***"),
        ("f(token=get_token(),password=correct,horse)", "f(token=get_token(),password=***"),
        ("password: 1234567890", "password: ***"),
        (f"https://{HEX_KEY}@host/x", "https://***@host/x"),
        ("postgres://me:hunter2@host/x", "postgres://***@host/x"),
        ("Authorization: Bearer abcdefgh.ijkl", "Authorization: Bearer ***"),
        ("{'Authorization': 'Basic bWU6aHVudGVy'}", "{'Authorization': 'Basic ***'}"),
        ("curl -H 'bearer abcdefgh.ijklmnop'", "curl -H 'bearer ***'"),
        (f"sent {JWT}, refused", "sent ***, refused"),
        ("ya29.a0AfH6SMBx-abcdefghijklmnop_q x", "*** x"),
        ("a\n" + PEM.format("") + "\nb", "a\n***\nb"),
        ("+" + PEM.format("+") + "\n+b", "+***\n+b"),
    ],
)
def test_a_secret_in_a_text_is_masked_up_to_its_end(text: str, masked: str) -> None:
    assert masked_text(text) == masked
    assert masked_text(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "tokens = 16",
        "vocab_tokens=100000000",
        '"tokens": 81000000, "lr": 1e-4',
        "lr=1e-4 arch.hidden_size=512 data.key=value_of_ours",
        "def f(token: str, secret: str | None = None) -> None:",
        "tokens: Sequence[str] = ()",
        "if token == other_token_of_ours:",
        'token = ""',
        "tokens = np.empty(shape, dtype=np.uint8)",
        'def f(tokens: "np.ndarray", token: "hub.Token | None") -> None:',
        'x = {"embed_tokens": truncated_normal(next(names)), "token": secrets.token_hex(4)}',
        "ssh://git@host/x and https://host/@scope/x?a=b@c",
        "the token\nfollowing_words_are_long",
        'pattern = "-----BEGIN [A-Z ]*PRIVATE KEY-----"',
        "the bearer of bad news",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked_text(text) == text


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "part",
    [
        *(
            "token=",
            'token="',
            'token=\\"',
            "token=,",
            "token: x[",
            "token ",
            "a-",
            "a.",
            "eyJ-",
            "sk-",
            "ya29.",
        ),
        *(
            "https://a:",
            "https://",
            "://a:b",
            "-----BEGIN PRIVATE KEY-----",
            "Authorization: ",
            "bearer ",
            "\\",
            " ",
        ),
        *("api_", "secret_access_"),
    ],
)
def test_a_megabyte_on_one_line_is_masked_at_once(part: str) -> None:
    # The time of a pattern that goes back and forth grows with the square, to hours.
    size = (1 << 20) // len(part)
    assert len(masked_text(part * size)) <= 2 * len(part) * size


def test_a_count_of_tokens_on_the_command_line_stays() -> None:
    command = ("arch.vocab_tokens=11", "--max-tokens", "16", "hub.token=abc1", "--password", "1234")
    assert masked_arguments(command) == (*command[:3], "hub.token=***", "--password", "***")


def test_importing_the_room_loads_neither_jax_nor_numpy() -> None:
    modules = "atomic, disk_errors, jsonable, jsonl, provenance, run_folder, secrets, source"
    script = f"import sys; from trm_scaling.io import {modules}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert not {"jax", "numpy", "pydantic"} & set(loaded.split())
