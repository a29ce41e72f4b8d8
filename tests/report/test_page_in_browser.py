"""The page in Chromium: Debian's `chromium`, driven by Playwright; skips where either is missing."""

import os
import runpy
import shutil
from pathlib import Path

import pytest
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.external,
    pytest.mark.slow,  # a browser starts in seconds, and a run is made for it
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window; as root it has no sandbox."""
    arguments = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


class Visit:
    """A page that is open, with what it said and what it asked for."""

    def __init__(self, browser, path, width=1440, **options):
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def keys(self):
        return self.page.eval_on_selector_all(".item:not([hidden])", "items => items.map(item => item.dataset.key)")

    def numbers(self, name):
        return [
            float(text) for text in self.page.eval_on_selector_all(".item", f"all => all.map(i => i.dataset.{name})")
        ]

    def focused(self):
        return self.page.evaluate("document.activeElement.textContent.trim()")


@pytest.fixture
def visit(browser, trained_once):
    opened = []

    def open_page(**options):
        opened.append(Visit(browser, trained_once / "report.html", **options))
        return opened[-1]

    yield open_page
    for found in opened:
        assert found.said == [], "the console is silent"
        assert [url for url in found.asked if not url.startswith("data:")] == [(trained_once / "report.html").as_uri()]
        found.context.close()


def test_the_documentations_picture_is_taken_below_its_limit(trained_once, tmp_path):
    script = Path(__file__).parents[2] / "scripts" / "report_picture.py"
    names = runpy.run_path(str(script))
    for path in (names["TARGET"], tmp_path / "report.png"):
        if path.parent == tmp_path:
            names["main"].callback(trained_once, path, 1200, 1700)
        assert path.stat().st_size < 300_000
        with Image.open(path) as picture:
            assert picture.size == (1200, 1700)


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pictures_load_and_nothing_is_wider_than_the_screen(visit, width, scheme):
    page = visit(width=width, color_scheme=scheme).page
    widths = page.eval_on_selector_all(".items img", "all => all.map(image => image.naturalWidth)")
    assert len(widths) > 20 and min(widths) > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    charts = page.eval_on_selector_all("figure svg", "all => all.map(svg => svg.getBoundingClientRect().height)")
    assert len(charts) >= 6
    assert min(height for height in charts if height) > 80
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}[scheme]
    label = page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert (sum(map(int, label[4:-1].split(","))) > 384) == (scheme == "dark"), "charts follow the page"


def test_sorting_by_clicks(visit):
    found = visit()
    page = found.page
    sort = {name: page.locator(f"button[data-sort={name}]") for name in ("segmentation", "pseudo_masks", "key")}
    assert sort["segmentation"].get_attribute("aria-pressed") == "true"
    assert found.numbers("segmentation") == sorted(found.numbers("segmentation"), reverse=True)
    sort["segmentation"].click()
    assert found.numbers("segmentation") == sorted(found.numbers("segmentation"))
    assert page.locator("#status").inner_text() == "Sorted by UNet mIoU, ascending."
    sort["key"].click()
    assert found.keys() == sorted(found.keys())
    assert [sort[name].get_attribute("aria-pressed") for name in sort] == ["false", "false", "true"]
    sort["key"].click()
    assert found.keys() == sorted(found.keys(), reverse=True)
    sort["pseudo_masks"].click()
    assert found.numbers("pseudo_masks") == sorted(found.numbers("pseudo_masks"), reverse=True)


def test_filtering_by_class_and_hiding_maps(visit):
    found = visit()
    page = found.page
    everything = found.keys()
    choices = page.eval_on_selector_all("#filter option", "all => all.map(option => [option.value, option.label])")
    value, name = choices[-1]
    page.select_option("#filter", value)
    expected = [
        key
        for key in everything
        if name in page.locator(f".item[data-key='{key}'] img[alt*='ground truth']").first.get_attribute("alt")
    ]
    assert set(expected) <= set(found.keys()), "an alternative text may leave out the smallest classes"
    assert page.locator("#status").inner_text() == f"{len(found.keys())} of {len(everything)} images shown."
    page.select_option("#filter", "")
    assert found.keys() == everything
    assert page.locator(".map").first.is_visible()
    page.locator("#maps").click()
    assert not page.locator(".map").first.is_visible()
    assert page.locator("#maps").get_attribute("aria-pressed") == "false"


def test_all_of_it_with_the_keyboard(visit):
    found = visit()
    page = found.page
    page.keyboard.press("Tab")
    assert found.focused() == "Go to the figures"
    for _ in range(60):
        if found.focused().startswith("name"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert found.keys() == sorted(found.keys())
    page.keyboard.press("Space")
    assert found.keys() == sorted(found.keys(), reverse=True)
    page.locator(".panel button").first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    first = dialog.locator("img").get_attribute("alt")
    assert first.endswith(": the image") and dialog.locator("p").inner_text() == first
    page.keyboard.press("ArrowRight")
    assert "ground truth" in dialog.locator("img").get_attribute("alt")
    page.keyboard.press("ArrowLeft")
    assert dialog.locator("img").get_attribute("alt") == first
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert page.evaluate("document.activeElement === document.querySelector('.panel button')")


def test_it_is_whole_without_scripts(visit):
    found = visit(java_script_enabled=False)
    assert found.page.locator(".item").count() == 4
    assert not found.page.locator("#controls").is_visible()


def test_the_policy_stops_what_is_not_the_page_s_own(browser, trained, tmp_path):
    text = (trained / "report.html").read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("</main>", "<script>document.title = 'other'</script></main>"), encoding="utf-8")
    found = Visit(browser, changed)
    assert found.page.title() != "other"
    assert any("Content Security Policy" in line for line in found.said)
    found.context.close()


def test_it_prints_with_its_details(visit):
    page = visit().page
    pdf = page.pdf(format="A4")
    assert pdf.startswith(b"%PDF") and len(pdf) > 50_000
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible() and not page.locator("#controls").is_visible()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("pre").is_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


def test_motion_is_off_for_those_who_ask(visit):
    assert (
        visit(reduced_motion="reduce").page.evaluate("getComputedStyle(document.documentElement).scrollBehavior")
        == "auto"
    )
    assert visit().page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
