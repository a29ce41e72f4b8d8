"""`wsss adapters`: the domains that are installed."""

import click

from wsss_toolkit.cli.options import debug_option


@click.command("adapters", epilog="\b\nExamples:\n  wsss adapters\n  wsss schema   # the options of each")
@debug_option
def command() -> None:
    """List the installed domain adapters, the package each comes from, and whether it can be loaded."""
    from wsss_toolkit.domain import find_adapter, installed_adapters
    from wsss_toolkit.errors import WsssError

    found = installed_adapters()
    if not found:
        click.echo("no adapter is installed")
    rows = []
    for name, point in found.items():
        package = point.dist.name if point.dist is not None else point.module.partition(".")[0]
        try:
            find_adapter(name)
            state = "ready"
        except WsssError as error:
            state = f"cannot be loaded: {error}"
        rows.append((name, package, state))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    for name, package, state in rows:
        click.echo(f"{name:<{widths[0]}}  {package:<{widths[1]}}  {state}")
