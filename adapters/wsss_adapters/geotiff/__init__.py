"""GeoTIFF: bands and labels in, masks with georeference out."""
