"""The command line, one verb a file. A verb imports what it needs when it runs, so `--help` is instant."""

import sys


def main() -> None:
    """`trm`. A UserError becomes one message on standard error and its exit status, without a traceback."""
    from trm_scaling.cli.app import app
    from trm_scaling.errors import UserError

    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        print("stopped at once; the same command resumes from the last checkpoint", file=sys.stderr)
        sys.exit(130)
