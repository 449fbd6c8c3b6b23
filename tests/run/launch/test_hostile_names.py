"""Names and overrides, whatever they are, are words of a generated command; a shell runs nothing of them."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_scaling.errors import UserError
from trm_scaling.run.launch import tpu_vm
from trm_scaling.run.launch.tpu_vm import Launch, Pod, Session, Step

BASH = shutil.which("bash") or "/bin/bash"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TYPED = ["$(touch pwned)", "`touch pwned`", "; touch pwned #", "' ; touch pwned ; '", '" ; touch pwned ; "']
TYPED += [
    "&& touch pwned",
    "| touch pwned",
    "> pwned",
    "a\nb",
    "\\",
    "é 実",
    "-x",
    "--help",
    "*",
    "~",
    "$HOME",
]
texts = st.one_of(
    st.sampled_from(TYPED),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), min_size=1, max_size=30),
)
pods = st.builds(Pod, texts, texts, st.one_of(st.none(), texts))
launches = st.builds(
    Launch,
    session=st.builds(Session, pods, st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,9}", fullmatch=True)),
    repository=texts,
    commit=st.just(COMMIT),
    shared=texts.map(lambda text: f"/{text}"),
    experiments=st.tuples(texts, texts),
    profile=texts,
    restarts=st.integers(0, 9),
    token=st.just("5eed"),
    wandb=st.booleans(),
)


def every_step(launch: Launch) -> list[Step]:
    session = launch.session
    return [
        *tpu_vm.steps(launch, launch.archive),
        tpu_vm.follow(session),
        tpu_vm.stop(session),
        tpu_vm.end(session),
        tpu_vm.pack_results(launch.pod, launch.shared),
        tpu_vm.fetch_results(launch.pod, launch.archive),
        tpu_vm.health(launch.pod),
    ]


def script_of(step: Step) -> str | None:
    found = [word for word in step.command if word.startswith("--command=")]
    return found[0].removeprefix("--command=") if found else None


@given(launches)
def test_what_is_shown_is_what_is_run(launch: Launch) -> None:
    for step in every_step(launch):
        assert tuple(shlex.split(str(step))) == step.command


@given(launches)
def test_the_session_is_given_the_words_that_were_typed(launch: Launch) -> None:
    script = script_of(tpu_vm.start(launch))
    assert script is not None
    words = shlex.split(script)
    assert words[words.index("-s") + 1] == launch.session.name
    inner = shlex.split(words[words.index("-s") + 2])
    told = [*launch.experiments, "--profile", launch.profile, "--study", f"{launch.shared}/kellen"]
    at = inner.index("kellen/experiments/train_tpu.py") + 1
    assert inner[at : at + len(told)] == told
    assert inner[-1] == f"../{launch.session.log}"


@given(st.one_of(st.sampled_from([*TYPED, "=trm", "trm:1", "a.b", ""]), st.text("$`;' |&<>*~.:=")))
def test_a_session_has_no_name_that_means_something_else(name: str) -> None:
    with pytest.raises(UserError, match="is no name of a session"):
        Session(Pod("stable-1", "us-central2-b"), name)


@settings(max_examples=6)
@given(launches)
def test_a_shell_runs_nothing_of_a_name(tmp_path_factory, launch: Launch) -> None:
    """With stand-ins for every command, in a folder that a redirection would leave a file in."""
    folder: Path = tmp_path_factory.mktemp("shell")
    stand_ins = "".join(
        f"{name}() {{ :; }}\n"
        for name in (
            *("tmux", "tail", "tar", "sudo", "cp", "mkdir", "hostname", "head"),
            *("find", "rm", "mv", "cat"),
        )
    )
    for step in every_step(launch):
        script = script_of(step)
        if script is None or "pip install" in script:
            continue
        program = f'{stand_ins}test() {{ :; }}\ntouch() {{ [ "$1" != pwned ] || echo > pwned; }}\n{script}'
        subprocess.run([BASH, "-c", program], cwd=folder, capture_output=True, timeout=20, env={"PATH": ""})
        assert list(folder.iterdir()) == [], step.purpose
