"""DICOM Segmentation objects out."""
