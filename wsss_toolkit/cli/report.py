"""`wsss report`: a run on one page."""

from pathlib import Path

import click

from wsss_toolkit.cli.options import PATH, debug_option
from wsss_toolkit.errors import UsageError


@click.command(
    "report",
    epilog="\b\nExamples:\n  wsss report runs/quickstart\n"
    "  wsss report runs/dfc2020 --out dfc2020.html\n  wsss report runs/dfc2020 --out dfc2020.html --overwrite",
)
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, help="The file to write.  [default: RUN/report.html]")
@click.option("--overwrite", is_flag=True, help="Replace an existing file that --out names.")
@debug_option
def report_command(run: Path, out: Path | None, overwrite: bool) -> None:
    """Build report.html of RUN anew, from what the run's folder holds.

    Every `wsss run` writes it too. The page needs no network and no other file: send it as it is. It shows figures, a
    gallery of images, how supervision was used, training curves, time and memory. Ground truth is not read again.
    """
    if out is not None:
        if out.is_dir():
            raise UsageError("is a folder", where=str(out), fix="name a file, e.g. --out report.html")
        if not out.parent.is_dir():
            raise UsageError("no such folder", where=str(out.parent), fix="make it first, or choose another --out")
        if out.exists() and not overwrite:
            raise UsageError("is there already", where=str(out), fix="add --overwrite, or choose another --out")
    from wsss_toolkit.report.page import write_page

    click.echo(f"page: {write_page(run, out)}")
