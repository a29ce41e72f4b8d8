"""Loads masks in QGIS without a screen and prints the legend; QGIS takes up the .qml that lies beside each.

QT_QPA_PLATFORM=offscreen /usr/bin/python3 scripts/qgis_legend.py masks/*_mask.tif
"""

import sys

from qgis.core import QgsApplication, QgsRasterLayer


def main(paths: list[str]) -> None:
    """Print renderer, CRS and one line per legend entry of each mask; exit with 1 if one does not load."""
    application = QgsApplication([], False)
    application.initQgis()
    try:
        for path in paths:
            layer = QgsRasterLayer(path, "mask")
            if not layer.isValid():
                sys.exit(f"{path}: QGIS cannot load it")
            print("renderer", layer.renderer().type())
            print("crs", layer.crs().authid())
            for entry in layer.renderer().classes():
                print(int(entry.value), entry.color.name(), entry.label)
            del layer, entry  # QGIS crashes at its end while Python still holds a layer
    finally:
        application.exitQgis()


main(sys.argv[1:])
