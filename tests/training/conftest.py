from small_model import classifier, seed  # noqa: F401  # fixtures
