"""Satellite images: DFC2020, folders of Sentinel-1/2 stacks, and the GeoTIFF files of both."""
