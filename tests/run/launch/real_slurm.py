"""A real Slurm on this one machine: munged, slurmctld and a slurmd for each made-up node.

    python -m tests.run.launch.real_slurm      # says how to talk to it, until Ctrl-C

Everything it writes lies in a temporary folder. It needs no systemd, no control groups and no root, only
the programs; of Debian's packages: apt-get install --no-install-recommends slurm-wlm munge
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])

START_SECONDS = 30.0
END_SECONDS = 10.0
POLL_SECONDS = 0.1

CONFIGURATION = """\
ClusterName=trm
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
# A job that is queued again waits for as long as its credential lives: two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire={requeue_seconds}
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
# A container may lack control groups, and one machine stands for several nodes.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
KillWait={kill_wait}
{nodes}
# One is preempted as most clusters do it (SIGTERM, then SIGKILL after KillWait), one with time to save.
PartitionName=usual Nodes=ALL Default=YES MaxTime=60 PriorityTier=1
PartitionName=patient Nodes=ALL MaxTime=60 PriorityTier=1 GraceTime=120
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=10
"""


class CannotStart(Exception):
    """Why there is no Slurm on this machine."""


@dataclass(frozen=True)
class RealSlurm:
    """A cluster that runs."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands talk to it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints. Raises RuntimeError with its words when it fails."""
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    @property
    def idle_nodes(self) -> int:
        """Nodes that are up and without a job; 0 as well when the controller does not answer."""
        try:
            return int(self.ask("sinfo", "-h", "-p", "usual", "-t", "idle", "-o", "%D") or 0)
        except RuntimeError:
            return 0


@contextmanager
def real_slurm(
    nodes: int = 2, cores: int = 1, requeue_seconds: int = 5, kill_wait: int = 30
) -> Iterator[RealSlurm]:
    """A cluster of `nodes` nodes with `cores` cores each, for the block; its jobs end with it.

    `requeue_seconds` is what a job waits that is queued again, `kill_wait` what lies between SIGTERM and
    SIGKILL. Raises CannotStart with the reason.
    """
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCHED) is None]
    if missing:
        raise CannotStart(
            f"no {', '.join(missing)} on this machine; of Debian's packages: "
            "apt-get install --no-install-recommends slurm-wlm munge"
        )
    with ExitStack() as stack:
        # Not a test's own folder: the path of a socket has at most 107 characters.
        folder = Path(tempfile.mkdtemp(prefix="trm-slurm-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        slurm = RealSlurm(folder)
        # Names that resolve everywhere, and differ: the first is where the processes of a job meet.
        names = [f"127.0.0.{number}" for number in range(1, nodes + 1)]
        _configure(folder, names, cores, requeue_seconds, kill_wait)
        munge = _daemon(["munged", "--foreground", "--force", *_munge_files(folder)], slurm)
        alive = [stack.enter_context(munge)]
        _until(lambda: (folder / "munge.socket").exists(), alive, folder)
        for command in (["slurmctld", "-D"], *(["slurmd", "-D", "-N", name] for name in names)):
            alive.append(stack.enter_context(_daemon(command, slurm)))
        _until(lambda: slurm.idle_nodes == nodes, alive, folder)
        stack.callback(_end_jobs, slurm, nodes)
        yield slurm


def _configure(folder: Path, names: Sequence[str], cores: int, requeue_seconds: int, kill_wait: int) -> None:
    ports = _free_ports(len(names) + 1)
    lines = [
        f"NodeName={name} NodeAddr=127.0.0.1 Port={port} CPUs={cores} State=UNKNOWN"
        for name, port in zip(names, ports[1:], strict=True)
    ]
    text = CONFIGURATION.format(
        host=socket.gethostname(),
        port=ports[0],
        user=getpass.getuser(),
        folder=folder,
        requeue_seconds=requeue_seconds,
        kill_wait=kill_wait,
        nodes="\n".join(lines),
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "controller").mkdir()
    (folder / "munge.key").touch(mode=0o600)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))


def _munge_files(folder: Path) -> list[str]:
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid"}
    files |= {"log-file": "munge.log", "seed-file": "munge.seed"}
    return [f"--{option}={folder / name}" for option, name in files.items()]


@contextmanager
def _daemon(command: Sequence[str], slurm: RealSlurm) -> "Iterator[subprocess.Popen[bytes]]":
    name = "-".join([command[0], *command[3:4]]) if command[0] == "slurmd" else command[0]
    with (slurm.folder / f"{name}.output").open("wb") as output:
        process = subprocess.Popen(
            command,
            env=os.environ | slurm.environment | {"PATH": SEARCHED},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C is for the one who started the cluster, which then ends in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until(ready: Callable[[], bool], alive: "Sequence[subprocess.Popen[bytes]]", folder: Path) -> None:
    """Raises CannotStart with what the daemons said when one ended, or all took too long."""
    until = time.monotonic() + START_SECONDS
    while not ready():
        ended = [process for process in alive if process.poll() is not None]
        if ended or time.monotonic() > until:
            what = f"{ended[0].args[0]!r} ended" if ended else f"not ready within {START_SECONDS:.0f} s"  # type: ignore[index]
            logs = [*sorted(folder.glob("*.output")), *sorted(folder.glob("*.log"))]
            said = [f"{log.name}: {line}" for log in logs for line in log.read_text().splitlines()[-4:]]
            raise CannotStart("; ".join([what, *said]))
        time.sleep(POLL_SECONDS)


def _end_jobs(slurm: RealSlurm, nodes: int) -> None:
    """Cancel what is left, so that no job outlives its cluster."""
    slurm.ask("scancel", "--user", getpass.getuser())
    slurm.ask("scancel", "--user", getpass.getuser(), "--signal=KILL")
    until = time.monotonic() + END_SECONDS
    while slurm.idle_nodes < nodes and time.monotonic() < until:
        time.sleep(POLL_SECONDS)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def main() -> None:
    """Run a cluster until Ctrl-C."""
    began = time.monotonic()
    with real_slurm() as slurm:
        print(f"up after {time.monotonic() - began:.1f} s; Ctrl-C ends it and its jobs")
        print(f"export SLURM_CONF={slurm.environment['SLURM_CONF']}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending")


if __name__ == "__main__":
    main()
