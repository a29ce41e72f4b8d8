from small_model import classifier, rgb, seed, small, spread  # noqa: F401  # fixtures
