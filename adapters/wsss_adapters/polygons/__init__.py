"""Areas of one class as polygons."""
