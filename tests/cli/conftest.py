"""Tiles that tests of the command line share."""

import pytest
import tiny_recipe


@pytest.fixture(scope="session")
def tiles(tmp_path_factory):
    """A folder of generated tiles, which tests copy before they spoil it."""
    from wsss_adapters.synthetic import Synthetic, SyntheticOptions

    root = tmp_path_factory.mktemp("tiles")
    Synthetic(SyntheticOptions.model_validate(tiny_recipe.sections(root)["data"])).prepare()
    return root
