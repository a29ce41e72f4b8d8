"""DICOM objects of frames in, without what identifies a patient."""
