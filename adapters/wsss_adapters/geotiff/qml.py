"""A QGIS style for masks: one colour and one name for each class."""

from xml.etree import ElementTree

from wsss_toolkit.domain import ClassTable

DOCTYPE = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def hex_color(color: tuple[int, int, int]) -> str:
    """Return ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def qgis_style(classes: ClassTable) -> bytes:
    """Return the style that QGIS takes up by itself where it lies beside the mask under the same name.

    Args:
        classes: Names and colours in the order of mask values.
    """
    root = ElementTree.Element("qgis", version="3.22.0", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for value, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True)):
        ElementTree.SubElement(
            palette, "paletteEntry", value=str(value), label=name, color=hex_color(color), alpha="255"
        )
    ElementTree.SubElement(root, "blendMode").text = "0"
    ElementTree.indent(root)
    return DOCTYPE + bytes(ElementTree.tostring(root, encoding="utf-8")) + b"\n"
