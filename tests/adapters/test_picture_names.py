"""Which files are pictures, and names that are safe everywhere."""

from fake_folders import pixels, save

from wsss_adapters.pictures.names import find_pictures, safe_keys
from wsss_toolkit.domain.contract import SAFE_KEY


def test_safe_names_stay_and_others_are_distinct():
    names = ["a.jpg", "sub/b.png", "x/1.jpg", "y/1.jpg", "Füße im Schnee.jpg", "fu_e im schnee.jpg", "猫.jpg", "犬.jpg"]
    keys = safe_keys([*names, ".x y.jpg", "c.jpg", "C.png"])
    assert [keys[name] for name in names[:4]] == ["a", "b", "x_1", "y_1"]
    assert keys["Füße im Schnee.jpg"].startswith("Fue-im-Schnee-")
    assert len({key.casefold() for key in keys.values()}) == len(keys)
    assert all(SAFE_KEY.fullmatch(key) and not key.startswith(".") for key in keys.values())
    assert safe_keys(reversed(names))["猫.jpg"] == keys["猫.jpg"], "on other machines, with other neighbours"


def test_keys_that_meet_by_joining_folders():
    keys = safe_keys(["a/b_c.jpg", "a_b/c.jpg", "x/b_c.jpg", "x/c.jpg"])
    assert len(set(keys.values())) == 4


def test_hidden_files_and_folders_are_left_out(tmp_path):
    save(tmp_path / "a.png", pixels(1)[0])
    save(tmp_path / ".thumbs" / "a.png", pixels(1)[0])
    save(tmp_path / "._a.png", pixels(1)[0])
    assert find_pictures(tmp_path) == [tmp_path / "a.png"]
