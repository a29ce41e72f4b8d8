"""A run: its folder, its stages, when each is done, and what a finished run offers."""
