"""One run belongs to one process, and that process ends politely when it is asked to."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.run.tiny import TRM, environment, make_study, run_command, tiny_folder, trm
from trm_scaling.checkpoint.folder import finished_steps


@pytest.mark.e2e
def test_a_second_process_is_refused_and_sigterm_saves(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    folder = tiny_folder(study)
    first = subprocess.Popen(
        [TRM, *run_command()], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    while not folder.metrics.exists() or not folder.metrics.read_bytes():
        assert first.poll() is None, first.communicate()
        time.sleep(0.005)
    # Held still, it cannot finish before the second one has come.
    first.send_signal(signal.SIGSTOP)
    second = trm(tmp_path, run_command())
    assert second.returncode == 69
    assert f"is in use by process {first.pid} on {os.uname().nodename}" in second.stderr
    assert second.stderr.count("error:") == 1

    first.send_signal(signal.SIGTERM)
    first.send_signal(signal.SIGCONT)
    _, said = first.communicate()
    assert first.returncode == 75
    (step,) = map(int, re.findall(r"after step (\d+)", said))
    assert said.splitlines() == [
        f"stopped by SIGTERM after step {step} of 60; the state is saved, and the same command resumes"
    ]
    assert finished_steps(folder.checkpoints)[-1] == step
