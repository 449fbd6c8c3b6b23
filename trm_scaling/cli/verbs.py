"""How `trm` reads and explains a command line: what was probably meant, and types as people write them."""

import re
from typing import Any

from typer.core import TyperGroup

MEANT = {
    **dict.fromkeys(("list", "ls"), "batch --list"),
    **dict.fromkeys(("train", "resume", "start", "dry-run"), "run baseline"),
    **dict.fromkeys(("test", "evaluate"), "eval"),
    **dict.fromkeys(("plot", "plots", "figures", "analyze", "analyse"), "report"),
    **dict.fromkeys(("tail", "log"), "logs RUN --follow"),
    **dict.fromkeys(("import", "convert"), "import-torch"),
    **dict.fromkeys(("kill", "cancel"), "stop"),
    **dict.fromkeys(("show", "ps", "runs"), "status"),
    "generate": "data sudoku",
}
"""What people type who know another program -> the verb here."""

_TYPES = {"str": "TEXT", "int": "N", "float": "X", "path": "PATH", "file": "PATH", "directory": "FOLDER"}


class Verbs(TyperGroup):
    """The verbs, each told what a person means who writes `trm list` or `--lr`."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        for parameter in getattr(command, "params", ()):
            _explain(parameter)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in MEANT and args[0] not in self.commands and ctx.parent is None:
            ctx.fail(f"no verb {args[0]!r}: did you mean `trm {MEANT[args[0]]}`?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            # The parser's own error for an option that there is not.
            given = getattr(error, "option_name", None)
            if given and (key := _field_named(str(given).lstrip("-"))):
                vars(error)["message"] = (
                    f"no option {given}: fields are given without dashes, as in {key}=VALUE"
                )
                vars(error)["possibilities"] = None
            raise


def _explain(parameter: Any) -> None:
    """Let the help say `--seed N` where it says `--seed <int range>`."""
    shown = parameter.display_type

    def display_type(ctx: Any) -> str:
        # A name of its own says more than a type.
        if parameter.metavar is not None or parameter.param_type_name == "argument":
            return ""
        inner = re.sub(r"^list\[(.*)\]$", r"\1", shown(ctx)[1:-1]).removesuffix(" range")
        return _TYPES.get(inner, inner)

    parameter.display_type = display_type


def _field_named(name: str) -> str | None:
    """The field of the configuration that an option was meant for: `lr`, `learning-rate`, `hidden_size`."""
    from trm_scaling.config.validate import ALSO_CALLED, field_names

    name = name.replace("-", "_")
    name = ALSO_CALLED.get(name.lower(), name)
    return next((field for field in field_names() if name in (field, field.rpartition(".")[2])), None)
