"""Tables that people write: tags, annotations, lists."""
