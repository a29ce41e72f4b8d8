"""What happens to class maps before pixels are assigned, by name."""
