"""The names of mask values for GDAL and QGIS: category names and a raster attribute table in ``.aux.xml``."""

from xml.etree import ElementTree

from wsss_toolkit.domain import ClassTable

# GDAL's codes (gdal.h): field types and field usages of raster attribute tables.
INTEGER, STRING = 0, 2
NAME, VALUE, RED, GREEN, BLUE = 2, 5, 6, 7, 8


def auxiliary_xml(classes: ClassTable) -> bytes:
    """Return GDAL's auxiliary metadata of a mask.

    Args:
        classes: Names and colours in the order of mask values.
    """
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
