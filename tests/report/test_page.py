"""The page of a finished run, as text."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.recipe.plain_recipe import LOCAL_FILE
from wsss_toolkit.report.page import build_page, write_page

VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """Collects elements, and fails where a tag closes that is not open."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for found, attributes in self.elements if found == tag]


@pytest.fixture
def page(trained_once):
    return Reader((trained_once / "report.html").read_text(encoding="utf-8"))


def change(run, **parts):
    """Change parts of report.json: `change(run, run__name="x")`."""
    report = json.loads((run / "report.json").read_text())
    for path, value in parts.items():
        *above, last = path.split("__")
        section = report
        for name in above:
            section = section[name]
        section[last] = value
    (run / "report.json").write_text(json.dumps(report))


def test_it_is_built_again_from_the_folder_alone(trained):
    written = (trained / "report.html").read_bytes()
    (trained / "report.html").unlink()
    assert write_page(trained) == trained / "report.html"
    assert (trained / "report.html").read_bytes() == written
    assert not [path.name for path in trained.iterdir() if path.name.startswith(".report")]


def test_every_figure_stands_with_its_split_and_its_labels(page, trained_once):
    report = json.loads((trained_once / "report.json").read_text())
    for kind, title in (("pseudo_masks", "pseudo-masks"), ("segmentation", "UNet")):
        for split, scores in report[kind].items():
            shares = f"{scores['miou']:.3f} {scores['pixel_accuracy']:.3f}"
            assert f"{title} {split} {shares} {scores['images']}" in page.text
    assert page.text.count("labels from mask coverage of at least 0.1") >= 4
    assert "Synthetic data: figures say nothing about real scenes." in page.text
    assert f"{report['gates']['open']} of {report['gates']['total']} gated attention heads are open" in page.text
    for name, version in report["run"]["versions"].items():
        assert f"{name}, version {version}" in page.text
    assert "seed 3" in page.text and report["run"]["recipe_digest"][:12] in page.text


def test_it_says_how_supervision_was_used(page):
    assert "a class counts as present where it covers at least 0.1 of an image's labelled pixels" in page.text
    assert "Pseudo-masks may hold the classes that the classifier predicts" in page.text
    assert (
        "Ground-truth masks were read to derive image-level labels and to compute the figures of this page" in page.text
    )


def test_it_needs_nothing_from_elsewhere(page, trained_once):
    raw = (trained_once / "report.html").read_text(encoding="utf-8")
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster"):
            if attributes.get(name):
                assert attributes[name].startswith(("data:image/", "#")), (tag, attributes[name])
        assert not [name for name in attributes if name.startswith("on")], "the policy would stop it"
    assert "url(" not in raw.replace("url(#", "") and "@import" not in raw
    [policy] = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    script = re.search(r"<script>(.*?)</script>", raw, re.DOTALL)[1]
    expected = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{expected}'" in policy and policy.startswith("default-src 'none'")


def test_pictures_have_words_and_ids_are_unique(page):
    pictures = page.all("img")
    assert len(pictures) > 4 * 6
    assert all(picture["alt"] for picture in pictures)
    alts = [picture["alt"] for picture in pictures]
    assert len(set(alts)) == len(alts)
    assert any(re.search(r": UNet, .* \d+ %.*; mIoU \d\.\d\d$", alt) for alt in alts)
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(set(ids)) == len(ids)
    assert all(svg["aria-label"] for svg in page.all("svg"))
    headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and all(after - before <= 1 for before, after in pairwise(headings))


def test_nothing_of_the_machine_or_the_person_is_on_it(trained_once):
    raw = (trained_once / "report.html").read_text(encoding="utf-8")
    root = json.loads((trained_once / LOCAL_FILE).read_text())["data"]["root"]
    assert root.startswith("/") and root not in raw
    assert str(trained_once.parent) not in raw and "/tmp/" not in raw and "/home/" not in raw


def test_names_are_escaped_everywhere(trained):
    evil = "<img src=x onerror=alert(1)>&amp;"
    for path in (trained / "report.json", *(trained / "evaluation").rglob("*.*")):
        if path.suffix in (".json", ".csv"):
            path.write_text(path.read_text().replace("Forest", evil))
    change(trained, run__name=evil, run__notices=[evil])
    gallery = trained / "evaluation" / "gallery" / "gallery.json"
    gallery.write_text(gallery.read_text().replace('"split": "test"', f'"split": "{evil}"'))
    text = build_page(trained)
    assert "<img src=x" not in text and evil not in text
    assert Reader(text).text.count(evil) >= 4


def test_a_run_of_two_attempts_has_one_curve(trained):
    first = trained / "train" / "csv" / "from_0" / "metrics.csv"
    resumed = trained / "train" / "csv" / "from_1"
    resumed.mkdir()
    shutil.copy(first, resumed / "metrics.csv")
    header, *rows = first.read_text().splitlines()
    first.write_text("\n".join([header, *(row for row in rows if row.startswith("0,"))]) + "\n")
    (resumed / "metrics.csv").write_text("\n".join([header, *(row for row in rows if row.startswith("1,"))]) + "\n")
    assert "over 2 epochs" in build_page(trained)


def test_rounds_of_self_training_have_their_curves(trained):
    record = trained / "segmentation" / "stage.json"
    value = json.loads(record.read_text())
    value["result"]["rounds"] = [1, 1]
    record.write_text(json.dumps(value))
    shutil.copytree(trained / "segmentation" / "csv", trained / "segmentation" / "round_1" / "csv")
    text = Reader(build_page(trained)).text
    assert "UNet: loss" in text and "UNet, self-training round 1: loss" in text


def test_a_folder_that_is_no_run_is_refused(trained, tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        build_page(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"not a run: it lacks report\.json.*start it with wsss run"):
        build_page(tmp_path)
    (trained / "report.json").write_text("{")
    with pytest.raises(DataError, match=r"report\.json: is damaged"):
        build_page(trained)


def test_a_stage_that_is_not_the_report_s_is_refused(trained):
    record = trained / "evaluation" / "stage.json"
    value = json.loads(record.read_text())
    record.write_text(json.dumps({**value, "digest": "other"}))
    with pytest.raises(UsageError, match=r"stage evaluation was done again.*finish the run with wsss run"):
        build_page(trained)
    record.unlink()
    with pytest.raises(DataError, match=r"stage\.json: is missing; delete the folder"):
        build_page(trained)


def test_a_picture_that_is_gone_is_named(trained):
    next((trained / "evaluation" / "gallery").glob("*/image.webp")).unlink()
    with pytest.raises(DataError, match=r"image\.webp"):
        build_page(trained)
