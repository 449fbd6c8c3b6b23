"""Faults on real training processes: killed, stopped, without space, memory, a clock or the disk it had."""

import shutil
import signal
import time
from collections.abc import Sequence
from functools import partial

from tests.faults.chaos import plants
from tests.faults.chaos.damage import DAMAGES, any_file, tear_last_line
from tests.faults.chaos.forks import Ended
from tests.faults.chaos.trial import Action, Ground, Trial, expect
from tests.faults.chaos.victim import Victim, make_victim
from tests.faults.kill_and_resume import LONGEST_DELAY
from tests.faults.moments import STAGES, Moment, Signal, Stage, strike_at
from tests.run.tiny import EVAL_EVERY, SAVE_ALWAYS, STEPS, STEPS_PER_CALL
from trm_scaling.checkpoint.folder import finished_steps, step_folder
from trm_scaling.io.jsonl import read_jsonl
from trm_scaling.results.record import read_record

TIMES: dict[Stage, int] = {
    "train": STEPS // STEPS_PER_CALL,
    "save": STEPS // EVAL_EVERY,
    "evaluate": STEPS // EVAL_EVERY,
}
"""How often a run enters a stage."""


def trials(many: bool) -> list[Trial]:
    """The many are enough for a night's sleep, the few for a minute."""
    killed: Sequence[Stage] = STAGES if many else ("save", "result")
    stopped: Sequence[Stage] = STAGES if many else ("train",)
    oom: Sequence[Stage] = ("compile", "train", "save", "test") if many else ("evaluate",)
    found: list[tuple[str, str, Action, int]] = [
        *(
            ("kill -9", stage, partial(_signalled, signal.SIGKILL, stage), 3 if many else 1)
            for stage in killed
        ),
        *(
            ("SIGTERM", stage, partial(_signalled, signal.SIGTERM, stage), 2 if many else 1)
            for stage in stopped
        ),
        *(("out of memory", stage, partial(_out_of_memory, stage), 1) for stage in oom),
        ("NaN", "train", _nan, 2 if many else 1),
        ("two runners", "run", _two_runners, 2 if many else 1),
        ("truncated", "checkpoint", partial(_damaged_checkpoint, "truncated"), 2 if many else 1),
    ]
    if many:
        found += [
            ("bit flipped", "checkpoint", partial(_damaged_checkpoint, "bit flipped"), 2),
            ("deleted", "checkpoint", partial(_damaged_checkpoint, "deleted"), 1),
            ("bit flipped", "best checkpoint", _damaged_best, 1),
            ("truncated", "dataset", partial(_damaged_dataset, "truncated"), 1),
            ("bit flipped", "dataset", partial(_damaged_dataset, "bit flipped"), 1),
            ("torn last line", "metrics", partial(_torn, "metrics.jsonl"), 2),
            ("torn last line", "attempts", partial(_torn, "attempts.jsonl"), 1),
            ("clock jump", "train", partial(_clock, "train"), 1),
            ("clock jump", "save", partial(_clock, "save"), 1),
            ("memory limit", "train", partial(_short_memory, "train"), 1),
            ("memory limit", "compile", partial(_short_memory, "compile"), 1),
            ("file size limit", "save", _short_files, 1),
            ("damaged", "compile cache", _damaged_cache, 1),
        ]
    made = [Trial(fault, place, action, True) for fault, place, action, count in found for _ in range(count)]
    return made


def _moment(ground: Ground, stage: Stage) -> Moment:
    return Moment(stage, ground.chance.randint(1, TIMES.get(stage, 1)))


def _signalled(number: signal.Signals, stage: Stage, ground: Ground) -> str:
    victim = make_victim(ground, with_data=stage != "dataset")
    moment, delay = _moment(ground, stage), ground.chance.uniform(0, LONGEST_DELAY[stage])
    often = ground.chance.random() < 0.3
    overrides = [SAVE_ALWAYS] if often else []
    ended = victim.start(lambda: strike_at(moment, Signal(number, delay)), overrides).wait()
    after = _after(victim)
    if number == signal.SIGTERM:
        # Until the run has begun nobody heeds the signal, and the system ends the process.
        expect(ended.status in (75, -signal.SIGTERM), ended)
        if ended.status == 75 and not victim.folder.finished:
            expect(victim.endings == ["preempted"], victim.endings)
            expect("stopped by SIGTERM" in ended.errors, ended)
    else:
        expect(ended.status == -signal.SIGKILL, ended)
    victim.finish(overrides)
    victim.check()
    return after


def _after(victim: Victim) -> str:
    """How a struck run stands."""
    if victim.folder.finished:
        return "finished already"
    return "begun anew" if victim.saved is None else "resumed from a checkpoint"


def _out_of_memory(stage: Stage, ground: Ground) -> str:
    victim = make_victim(ground)
    ended = victim.start(plants.at(_moment(ground, stage), plants.device_out_of_memory)).wait()
    expect(ended.status == 71 and "run it with system.micro_batch_size=8" in ended.errors, ended)
    expect(victim.endings == ["out_of_memory"], victim.endings)
    after = _after(victim)
    victim.finish()
    victim.check()
    return f"told as out of memory, with what to try; {after}"


def _short_memory(stage: Stage, ground: Ground) -> str:
    victim = make_victim(ground)
    ended = victim.start(plants.at(_moment(ground, stage), plants.short_memory)).wait()
    ends = {0: "enough for the rest", 71: "told as out of memory"}
    after = _after(victim)
    victim.finish()
    victim.check()
    return f"{ends.get(ended.status, 'aborted')}; {after}"


def _short_files(ground: Ground) -> str:
    victim = make_victim(ground)
    moment = Moment("save", ground.chance.randint(2, 4))
    ended = victim.start(plants.at(moment, plants.short_files)).wait()
    expect(ended.status == 74 and "ulimit -f" in ended.errors, ended)
    expect(victim.saved == (moment.nth - 1) * EVAL_EVERY, victim.saved)
    after = _after(victim)
    victim.finish()
    victim.check()
    return f"refused with one message; {after}"


def _nan(ground: Ground) -> str:
    victim = make_victim(ground)
    # The first of a call: the parameters are spoilt as a call begins.
    step = ground.chance.randrange(1, STEPS + 1, STEPS_PER_CALL)
    ended = victim.start(plants.nan_at(step)).wait()
    expect(ended.status == 65 and f"at step {step};" in ended.errors, ended)
    expect(victim.endings == ["non_finite"], victim.endings)
    expect((victim.saved or 0) < step, f"step {victim.saved} was saved, the loss is NaN since step {step}")
    victim.finish()
    victim.check()
    return "refused with its step; nothing after it saved"


def _two_runners(ground: Ground) -> str:
    victim = make_victim(ground)
    here, go = ground.folder / "here", ground.folder / "go"

    def pause() -> None:
        here.touch()
        while not go.exists():
            time.sleep(0.01)

    first = victim.start(plants.at(_moment(ground, "train"), pause))
    while not here.exists():
        time.sleep(0.01)
    second = victim.start().wait()
    expect(second.status == 69 and f"is in use by process {first.pid} on " in second.errors, second)
    go.touch()
    ended = first.wait()
    expect(ended.status == 0, ended)
    victim.check()
    return "one trains, the other is told who"


def _killed(ground: Ground, after: int) -> Victim:
    """A run that was killed in training, some time after it had `after` checkpoints."""
    victim = make_victim(ground)
    nth = EVAL_EVERY // STEPS_PER_CALL * after + ground.chance.randint(2, 4)
    victim.start(lambda: strike_at(Moment("train", nth), Signal(signal.SIGKILL, 0))).wait()
    return victim


def _damaged_checkpoint(damage: str, ground: Ground) -> str:
    victim = _killed(ground, after=3)
    folder = victim.folder.checkpoints
    *_, before, newest = finished_steps(folder)
    DAMAGES[damage](any_file(step_folder(folder, newest), ground.chance), ground.chance)
    ended = victim.start().wait()
    expect(ended.status == 0, ended)
    expect(f"resuming after step {before}" in ended.said, ended)
    _expect_told(victim, ended, f"checkpoint {step_folder(folder, newest)} is damaged")
    expect((folder / f"{newest:08d}.damaged-1").is_dir(), "the damaged one is gone")
    victim.check()
    return "set aside, on record; the one before is used"


def _damaged_best(ground: Ground) -> str:
    """The one loss that cannot be made good: then it must be said."""
    victim = make_victim(ground)
    folder = victim.folder
    victim.start(lambda: strike_at(Moment("test"), Signal(signal.SIGKILL, 0))).wait()
    best = read_record(victim.reference.run_folders("smoke", "baseline")[-1].result).best_step
    if best == STEPS:
        victim.finish()
        victim.check()
        return "the last is the best, and in memory"
    DAMAGES["bit flipped"](any_file(step_folder(folder.checkpoints, best), ground.chance), ground.chance)
    ended = victim.finish()
    expect(f"the checkpoint of step {best}, the best on validation, is lost" in ended.errors, ended)
    record = read_record(folder.result)
    expect(record.best_step != best and len(record.incidents) >= 1, record.incidents)
    return "said on standard error and in the record"


def _damaged_dataset(damage: str, ground: Ground) -> str:
    victim = _killed(ground, after=1)
    (folder,) = (path for path in (victim.study.data_root / "data").iterdir() if path.is_dir())
    DAMAGES[damage](any_file(folder, ground.chance), ground.chance)
    ended = victim.finish()
    _expect_told(victim, ended, "a dataset is damaged and built again")
    victim.check()
    return "set aside, on record; built again, the same"


def _expect_told(victim: Victim, ended: Ended, message: str) -> None:
    """On standard error in one line, and in the run's record."""
    lines = [line for line in ended.errors.splitlines() if line.startswith(f"warning: {message}")]
    kept = [met.message for met in read_record(victim.folder.result).incidents]
    expect(lines == [f"warning: {text}" for text in kept] and kept, f"{kept}\n{ended}")


def _torn(name: str, ground: Ground) -> str:
    victim = _killed(ground, after=1)
    tear_last_line(victim.folder.path / name, ground.chance)
    victim.finish()
    victim.check()
    return "the whole lines kept; ended as one left alone"


def _clock(stage: Stage, ground: Ground) -> str:
    victim = make_victim(ground)
    seconds = ground.chance.choice((-1, 1)) * 10 ** ground.chance.uniform(3, 8)
    ended = victim.start(plants.at(_moment(ground, stage), plants.jump(seconds))).wait()
    expect(ended.status == 0, ended)
    victim.check()
    record = read_record(victim.folder.result)
    spent = record.compile_s + record.train_s + record.eval_s + record.checkpoint_s
    expect(0 < spent < 1000, f"{spent} s")
    times = [line["time"] for line in read_jsonl(victim.folder.metrics).records]
    expect(times == sorted(times), "time ran backwards in the metrics")
    return "durations are those of the clock that does not jump"


def _damaged_cache(ground: Ground) -> str:
    """What a kill leaves of programs that JAX was writing, and worse."""
    victim = make_victim(ground)
    cache = ground.folder / "cache"
    # Not a copy of a filled one: the path of the cache is a part of what JAX looks programs up by.
    variables = {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    _expect_finished(victim, variables)
    programs = sorted(cache.glob("*-cache"))
    (largest,) = cache.glob("jit__train_call-*-cache")
    damaged = {*ground.chance.sample(programs, len(programs) // 3), largest}
    for path in sorted(damaged):
        DAMAGES[ground.chance.choice(("truncated", "bit flipped", "emptied"))](path, ground.chance)
    shutil.rmtree(victim.folder.path)
    told = _expect_finished(victim, variables)
    missing = [path.name for path in damaged if path.name not in told]
    expect(not missing, f"{missing} went by without a word:\n{told}")
    shutil.rmtree(victim.folder.path)
    told = _expect_finished(victim, variables)
    expect("compiled program" not in told, told)
    return "deleted with a warning, compiled anew, kept; the same result"


def _expect_finished(victim: Victim, variables: dict[str, str]) -> str:
    """Train to the end without a fault. Returns what was said on standard error."""
    ended = victim.start(variables=variables).wait()
    expect(ended.status == 0, ended)
    victim.check()
    return ended.errors
