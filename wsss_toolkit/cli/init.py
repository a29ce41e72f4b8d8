"""`wsss init`: look at a folder of pictures and write a first recipe for it."""

import shlex
from pathlib import Path

import click

from wsss_toolkit.cli.options import PATH, debug_option
from wsss_toolkit.errors import UsageError, WsssError

ADAPTER = "folder"
"""The adapter that looks."""


@click.command(
    "init",
    epilog="\b\nExamples:\n  wsss init ./photos                        # photos/cats/*.jpg, photos/dogs/*.jpg\n"
    "  wsss init ./photos --out photos.yaml      # photos/*.jpg and photos/tags.csv: image,classes\n"
    "  wsss init ./camvid                        # camvid/train/images, camvid/train/masks, camvid/val/...\n"
    "  wsss init ./frames --masks ./frames-masks --overwrite",
)
@click.argument("folder", type=PATH)
@click.option("--out", type=PATH, help="The recipe.  [default: NAME of the folder.yaml]")
@click.option("--masks", type=PATH, help="Folder of index masks named as the pictures, where init does not find it.")
@click.option("--overwrite", is_flag=True, help="Replace an existing recipe.")
@debug_option
def init_command(folder: Path, out: Path | None, masks: Path | None, overwrite: bool) -> None:
    """Look at FOLDER and write a commented recipe for its pictures.

    Labels come from a table tags.csv (image,classes), from class-named subfolders, or from masks. A file classes.txt,
    one name a line, says which classes there are. Nothing but the recipe is written, and only if all fits together.
    """
    from wsss_toolkit.domain import find_adapter
    from wsss_toolkit.domain.adapter import StarterAdapter
    from wsss_toolkit.files import write_text
    from wsss_toolkit.recipe.starter_recipe import recipe_name, starter_recipe

    adapter = find_adapter(ADAPTER)
    if not isinstance(adapter, StarterAdapter):
        raise UsageError(f"the adapter {ADAPTER!r} cannot look at folders")
    name = recipe_name(folder)
    path = out if out is not None else Path(f"{name}.yaml")
    if path.exists() and not overwrite:
        raise UsageError("exists already", where=str(path), fix="use --overwrite, or --out for another name")
    if not path.parent.is_dir():
        raise UsageError("cannot write: No such file or directory", where=str(path), fix="choose another --out")
    typed = shlex.quote(str(path))
    try:
        starter = adapter.starter(folder, masks)
        text, decided = starter_recipe(starter, name, ADAPTER, file=typed)
        check_text(text)
        write_text(path, text)
    except UsageError:
        raise
    except WsssError as error:  # whatever is wrong with the folder is a matter of use here
        raise UsageError(error.what, where=error.where, fix=error.fix) from error
    said = [*(f"found: {sentence}" for sentence in starter.found), *(f"decided: {sentence}" for sentence in decided)]
    click.echo("\n".join([*said, f"recipe: {path}", f"next: wsss check {typed}", f"      wsss run {typed}"]))


def check_text(text: str) -> None:
    """Check a recipe as `wsss check` does, before it is written; a `WsssError` says what is wrong with it."""
    import tempfile

    from wsss_toolkit.runs.run import check

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        check(path)
