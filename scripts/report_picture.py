"""The picture of a run's page in the documentation: `python scripts/report_picture.py runs/quickstart`.

Needs Playwright and a Chromium. Fewer colours are tried until the PNG has less than 300 kB.
"""

import io
import os
import shutil
from pathlib import Path

import click
from PIL import Image
from playwright.sync_api import sync_playwright

TARGET = Path(__file__).parents[1] / "docs" / "images" / "report.png"
LIMIT = 300_000


def screenshot(page: Path, *, width: int, height: int) -> Image.Image:
    """Return the upper part of a page as Chromium draws it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []  # as root it has no sandbox
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        tab = browser.new_page(viewport={"width": width, "height": height})
        tab.goto(page.resolve().as_uri())
        picture = tab.screenshot()
        browser.close()
    return Image.open(io.BytesIO(picture)).convert("RGB")


def small_png(picture: Image.Image, limit: int) -> bytes:
    """Return a PNG below a size in bytes, with as many colours as fit."""
    for colours in (None, 256, 128, 64):
        buffer = io.BytesIO()
        (picture if colours is None else picture.quantize(colours)).save(buffer, "PNG", optimize=True)
        if buffer.tell() < limit:
            return buffer.getvalue()
    raise click.ClickException(f"no PNG below {limit} bytes; choose a smaller part of the page")


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default=TARGET, show_default=True)
@click.option("--width", default=1200, show_default=True)
@click.option("--height", default=1700, show_default=True)
def main(run: Path, out: Path, width: int, height: int) -> None:
    """Write the picture of RUN's page."""
    out.write_bytes(small_png(screenshot(run / "report.html", width=width, height=height), LIMIT))
    click.echo(f"{out}: {out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
