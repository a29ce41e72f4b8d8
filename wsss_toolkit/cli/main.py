"""The group of commands: finds them lazily, and turns exceptions into one line and an exit code."""

import errno
import importlib
import traceback
from contextlib import suppress
from typing import Any

import click

from wsss_toolkit import __version__
from wsss_toolkit.cli.options import debug_option, is_debugging
from wsss_toolkit.errors import WsssError, of_the_machine, said
from wsss_toolkit.processes import Ended, end_on_request

# Name -> module of `wsss_toolkit.cli` that holds the command, and the line that `wsss --help` shows for it.
# Nothing here is imported before it is called: `wsss --help` has to be quick.
COMMANDS = {
    "run": ("run", "Run a recipe: from image-level labels to masks."),
    "sweep": ("sweep", "Try values of a recipe, with several seeds; one table."),
    "compare": ("compare", "Put a recipe beside other methods; one table."),
    "pseudolabel": ("pseudolabel", "Label whole scenes with a trained run."),
    "explain": ("explain", "Show how a run makes an image's mask; score its class tokens."),
    "export": ("export", "Write a run's network for other programs (ONNX)."),
    "report": ("report", "Build a run's page: figures, gallery, curves."),
    "init": ("init", "Write a first recipe for a folder of pictures."),
    "check": ("check", "Check a recipe and its data; print the plan."),
    "recipes": ("installed", "List the recipes that come with the toolkit."),
    "adapters": ("installed", "List the installed domain adapters."),
    "schema": ("installed", "Print the JSON Schema of recipes, for editors."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, and reports errors in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"wsss_toolkit.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exceptions become one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise  # the reader of our output went away; click ends quietly
            if is_debugging(ctx):
                traceback.print_exc()
            line, code = describe(error)
            with suppress(OSError):  # the terminal may be gone
                click.echo(line, err=True)
            ctx.exit(code)


def describe(error: BaseException) -> tuple[str, int]:
    """Return the line and the exit code that an exception ends the program with."""
    if isinstance(error, KeyboardInterrupt):
        how, number = (
            (f"ended by {error.signal.name}", error.signal) if isinstance(error, Ended) else ("interrupted", 2)
        )
        return f"{how}; the same command goes on where it stopped", 128 + number
    if isinstance(error, WsssError):  # the mistakes of a recipe are several lines, each with its file, line and column
        return str(error) if "\n" in str(error) else f"error: {error}", error.exit_code
    if (known := of_the_machine(error)) is not None:
        return f"error: {known}", 1
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"error: {error.strerror}: {error.filename}", 1
    return f"error: unexpected {said(error)}; run again with --debug for the traceback", 1


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExamples:\n  wsss run quickstart\n"
    "  wsss check recipes/dfc2020.yaml --set data.root=/data/dfc2020\n"
    "  wsss run dfc2020 --set train.epochs=5 --out runs/short\n  wsss pseudolabel --tiles ./scenes\n  wsss run --help",
)
@click.version_option(__version__, "-V", "--version", message="wsss %(version)s")
@debug_option
def cli() -> None:
    """Weakly supervised semantic segmentation: image-level labels in, masks out."""


def main() -> None:
    """Run the command line; the entry point `wsss`."""
    end_on_request()
    cli.main(prog_name="wsss")
