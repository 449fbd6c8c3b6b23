"""The verbs of `trm`, assembled."""

from typing import Annotated

import typer

from trm_scaling import __version__
from trm_scaling.cli import (
    batch,
    bench,
    compare,
    data,
    data_arc,
    evaluate,
    export,
    fit,
    init,
    interchange,
    launch,
    launch_slurm,
    launch_tpu,
    law,
    logs,
    plan,
    provenance,
    report,
    results,
    run,
    solve,
    status,
    stop,
    sync,
    verify,
)
from trm_scaling.cli.verbs import Verbs

HELP = """
Train Tiny Recursive Models and find out how they scale.

\b
First:
  trm solve 6x6                        watch a model solve a new puzzle
  trm run baseline --profile smoke     train on 4x4 Sudoku, half a minute
  trm solve baseline --profile smoke   watch it solve a puzzle it never saw
Then:
  trm run baseline arch.L_cycles=4     change anything: key=value
  trm batch --list                     the 67 experiments of the study
  trm batch --pattern exp01            run some of them, one after another
  trm report --pattern exp01           what they say, with its uncertainty
Every verb explains itself: trm run --help
"""

app = typer.Typer(
    help=HELP,
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("init", help=init.HELP, short_help="A folder with the study in it.")(init.init)
app.command("plan", help=plan.HELP, short_help="What the experiments would take, and cost.")(plan.plan)
app.command("run", help=run.HELP, short_help="Train an experiment to its record; again resumes.")(run.run)
app.command("batch", help=batch.HELP, short_help="Run many experiments; again resumes.")(batch.batch)
app.command("status", help=status.HELP, short_help="How every run stands.")(status.status)
app.command("results", help=results.HELP, short_help="What the runs came to, as one table.")(results.results)
app.command("fit", help=fit.HELP, short_help="A law through runs, with its uncertainty.")(fit.fit)
app.command("compare", help=compare.HELP, short_help="Experiments against each other.")(compare.compare)
app.command("report", help=report.HELP, short_help="Answers and evidence as one HTML file.")(report.report)
app.command("logs", help=logs.HELP, short_help="What a run says, or said.")(logs.logs)
app.command("stop", help=stop.HELP, short_help="Ask runs to save and end.")(stop.stop)
app.command("eval", help=evaluate.HELP, short_help="Accuracy after every supervision step.")(
    evaluate.evaluate
)
app.command("verify", help=verify.HELP, short_help="Hold a run's first steps against its record.")(
    verify.verify
)
app.command("provenance", help=provenance.HELP, short_help="What code, command and machine made a run.")(
    provenance.provenance
)
app.command("solve", help=solve.HELP, short_help="Watch a model solve one puzzle.")(solve.solve)
app.command("export", help=export.HELP, short_help="A finished run as one small file.")(export.export)
data.app.command("arc", help=data_arc.HELP)(data_arc.arc)
app.add_typer(data.app, name="data")
launch_tpu.add_to(launch.app)
launch.app.command("slurm", help=launch_slurm.HELP, short_help="As jobs of a Slurm cluster.")(
    launch_slurm.slurm
)
app.add_typer(launch.app, name="launch")
app.add_typer(bench.app, name="bench")
app.add_typer(law.app, name="law")
app.command("sync", help=sync.HELP, short_help="Complete the W&B runs of run folders.")(sync.sync)
app.command("import-torch", help=interchange.IMPORT_HELP, short_help="A run from public PyTorch weights.")(
    interchange.import_torch
)
app.command("export-torch", help=interchange.EXPORT_HELP, short_help="A run's weights for the public code.")(
    interchange.export_torch
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
