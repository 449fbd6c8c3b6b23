"""One run in several processes: the first one leads, the others follow, and what ends one ends all."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from trm_scaling.config import RunConfig
from trm_scaling.config.identity import differing_fields
from trm_scaling.errors import UserError
from trm_scaling.io.mirror import bucket_of
from trm_scaling.io.run_folder import RunFolder
from trm_scaling.parallel.hosts import HostLost, Hosts
from trm_scaling.results.attempts import FailureClass
from trm_scaling.run.failure import as_told, class_of_status, failure_class
from trm_scaling.run.planned import Run
from trm_scaling.run.signals import ended_politely

if TYPE_CHECKING:
    from trm_scaling.train.run_context import RunReporter

SHARED_SECONDS = 60.0
"""How long a network file system may take to show a new folder to another host."""


class OtherProcessFailed(UserError):
    """Another process of the run ended for a reason of its own."""


class Verdict:
    """Ends this process when the processes cannot go on together.

    Called in a thread of its own: the main one waits for a sum that will never come.
    """

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self.write_down: Callable[[FailureClass, BaseException], None] | None = None
        """For the first process, once it has begun: the record of what ended the attempt."""

    def __call__(self, status: int | None, story: str) -> None:
        error: UserError
        if status is None:
            error = HostLost(
                f"{story}; this process ends too, and the same command goes on from the last save"
            )
        else:
            error = OtherProcessFailed(story)
        ends = HostLost.exit_status if status is None else status
        if self.write_down is not None:
            self.write_down(class_of_status(ends), error)
        print(f"error: {error}", file=sys.stderr, flush=True)
        self._hosts.linger()
        os._exit(ends)


def lead(hosts: Hosts, folder: RunFolder | None, config: RunConfig) -> None:
    """Tell the others where the run lies and how it is configured; without a folder, that nothing is left."""
    if folder is None:
        hosts.broadcast("run", None)
        return
    mirrored = bucket_of(folder.path)
    place = {"folder": str(folder.path.resolve()), "in_study": None if mirrored is None else mirrored[1]}
    hosts.broadcast("run", {**place, "config": config.model_dump(mode="json")})


@contextmanager
def explained(
    config: RunConfig, hosts: Hosts, failed: Callable[[FailureClass, BaseException], None] | None = None
) -> Iterator[None]:
    """Whatever ends the block goes to `failed` (a process boundary), then on up as `as_told` has it."""
    try:
        yield
    except BaseException as error:
        failure = failure_class(error)
        if failure in ("other", "lost_host"):
            hosts.await_verdict()
        if failed is not None:
            failed(failure, error)
        told = as_told(error, config)
        if told is not error:
            raise told from error
        raise


def follow(run: Run, reporter: "RunReporter", hosts: Hosts) -> None:
    """What every process but the first does while that one calls `execute`.

    Raises UserError when it was started with another configuration, or does not see the run's folder.
    """
    from trm_scaling.train.train_and_evaluate import train_and_test

    with hosts.watched(run.config.system, Verdict(hosts)), ended_politely():
        order = hosts.broadcast("run", None)
        if order is None:
            return
        config = RunConfig.model_validate(order["config"])
        _refuse_another(run.config, config, hosts)
        if order["in_study"] is None:
            folder = RunFolder(Path(order["folder"]))
            _await_folder(folder, hosts)
        else:
            # In a bucket, which each host mirrors for itself.
            folder = RunFolder(run.study.path / order["in_study"])
        with explained(config, hosts):
            # What it measured is what the first process measured, and that one writes it down.
            train_and_test(config, folder, run.study.data_root, {}, reporter, hosts)


def _refuse_another(own: RunConfig, told: RunConfig, hosts: Hosts) -> None:
    if differing := differing_fields(own, told):
        raise UserError(
            f"process {hosts.index} was started with another configuration than process 0 (they differ in "
            f"{', '.join(differing)}): give all processes the same command"
        )


def _await_folder(folder: RunFolder, hosts: Hosts) -> None:
    waited = time.monotonic()
    while not folder.config.is_file():
        if time.monotonic() - waited > SHARED_SECONDS:
            raise UserError(
                f"process {hosts.index} does not see {folder.path}, where process 0 writes: all hosts need "
                "the study on one shared file system, under the same path, or in a bucket"
            )
        time.sleep(0.2)
