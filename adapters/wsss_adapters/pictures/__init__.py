"""What adapters of ordinary pictures share: finding and decoding them, pictures as scenes, masks as PNG."""
