import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from wsss_toolkit.errors import WsssError
from wsss_toolkit.report.figures import INK, SERIES, house_style, inline_svg, new_figure, save_figure

SVG = "{http://www.w3.org/2000/svg}"


def curve(label="val mAP"):
    with house_style():
        figure, axes = new_figure(3.4, 2.2)
        axes.plot([1, 2, 3], [0.2, 0.5, 0.4], marker="o", label=label)
        axes.plot([1, 2, 3], [0.1, 0.2, 0.3], label="train")
        axes.set_title("Classifier")
        axes.legend()
    return figure


def contrast(color, paper):
    """Return WCAG's contrast ratio of two colours."""

    def luminance(text):
        values = [int(text[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(color), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    assert inline_svg(curve(), "a", "x") == inline_svg(curve(), "a", "x")
    for name in ("a.svg", "a.png"):
        save_figure(curve(), tmp_path / name)
        first = (tmp_path / name).read_bytes()
        save_figure(curve(), tmp_path / name)
        assert (tmp_path / name).read_bytes() == first
        assert b"date" not in first.lower() and b"matplotlib" not in first[:600].replace(b"matplotlib.axis", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg"]
    with Image.open(tmp_path / "a.png") as picture:
        assert np.asarray(picture.convert("RGB"))[0, 0].tolist() == [255, 255, 255]


def test_inline_figures_are_small_named_and_share_no_ids():
    first, second = (inline_svg(curve(), name, 'Rises to "0.5" & falls') for name in ("one", "two"))
    roots = [ElementTree.fromstring(text) for text in (first, second)]
    ids = [{element.get("id") for element in root.iter()} - {None} for root in roots]
    assert ids[0] and not ids[0] & ids[1]
    for root, own in zip(roots, ids, strict=True):
        assert root.get("aria-label") == 'Rises to "0.5" & falls' and root.get("role") == "img"
        text = ElementTree.tostring(root, encoding="unicode")
        assert {name for name in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text) for name in name if name} <= own
        words = [element.text for element in root.iter(f"{SVG}text")]
        assert {"Classifier", "val mAP", "train"} <= set(words)
    assert len(first) < 12_000
    assert "font-family" not in first and "DejaVu" not in first and "<metadata" not in first


def test_names_are_escaped():
    text = inline_svg(curve('<script>alert("1")</script> & Co'), "a", "<b>")
    assert "<script" not in text and "<b>" not in text
    words = [element.text for element in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert '<script>alert("1")</script> & Co' in words


def test_charts_follow_the_page_s_colours():
    text = inline_svg(curve(), "a", "x")
    assert f"var(--series-1, {SERIES[0].lower()})" in text and f"var(--series-2, {SERIES[1].lower()})" in text
    assert f"var(--ink, {INK})" in text
    assert not re.search(r"fill: #fff", text), "no paper of its own"
    dashed = [line for line in re.findall(r"style=\"([^\"]+)\"", text) if "stroke-dasharray" in line]
    assert any("--series-2" in style for style in dashed), "series differ by more than colour"


def test_colours_can_be_seen_on_light_and_dark_paper():
    assert contrast(INK, "#ffffff") > 7
    for color in SERIES[:3]:
        assert contrast(color, "#ffffff") > 3
    assert len(set(SERIES)) == len(SERIES)


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"written as .svg or .png, not '.pdf'"):
        save_figure(curve(), tmp_path / "a.pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(WsssError, match="cannot write"):
        save_figure(curve(), tmp_path / "file" / "a.png")


def test_the_style_ends_with_its_block():
    import matplotlib as mpl

    before = mpl.rcParams["svg.fonttype"]
    with house_style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert mpl.rcParams["svg.fonttype"] == before
