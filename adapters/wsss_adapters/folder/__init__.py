"""Anyone's own pictures: a folder of them, with tags, class folders or masks."""
