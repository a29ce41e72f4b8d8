"""Endoscopic frames and DICOM files in, masks as PNG and DICOM-SEG out."""
