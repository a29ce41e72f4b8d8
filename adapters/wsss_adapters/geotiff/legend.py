"""What mask values mean, for QGIS and GDAL: a style, category names and a raster attribute table."""

from xml.etree import ElementTree

from wsss_toolkit.domain import ClassTable

DOCTYPE = b"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"

# GDAL's codes (gdal.h): field types and field usages of raster attribute tables.
INTEGER, STRING = 0, 2

NAME, VALUE, RED, GREEN, BLUE = 2, 5, 6, 7, 8


def hex_color(color: tuple[int, int, int]) -> str:
    """Return ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def qgis_style(classes: ClassTable) -> bytes:
    """Return the style that QGIS takes up by itself where it lies beside the mask under the same name."""
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


def auxiliary_xml(classes: ClassTable) -> bytes:
    """Return GDAL's auxiliary metadata of a mask."""
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    names = ElementTree.SubElement(band, "CategoryNames")
    for name in classes.names:
        ElementTree.SubElement(names, "Category").text = name
    table = ElementTree.SubElement(band, "GDALRasterAttributeTable", tableType="thematic")
    fields = (
        ("Value", INTEGER, VALUE),
        ("Class", STRING, NAME),
        ("Red", INTEGER, RED),
        ("Green", INTEGER, GREEN),
        ("Blue", INTEGER, BLUE),
    )
    for index, (title, kind, usage) in enumerate(fields):
        field = ElementTree.SubElement(table, "FieldDefn", index=str(index))
        ElementTree.SubElement(field, "Name").text = title
        ElementTree.SubElement(field, "Type").text = str(kind)
        ElementTree.SubElement(field, "Usage").text = str(usage)
    for value, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True)):
        row = ElementTree.SubElement(table, "Row", index=str(value))
        for cell in (value, name, *color):
            ElementTree.SubElement(row, "F").text = str(cell)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8")) + b"\n"
