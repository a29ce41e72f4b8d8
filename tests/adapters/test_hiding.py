"""`--deidentify` gives files neutral names, which a table and a secret key of the user's belong to."""

import csv
import stat
from pathlib import Path

import pytest
from fake_frames import native, picture
from PIL import Image

from wsss_adapters.dicom.secret import key_for, keyed, private_folder, write_private
from wsss_adapters.dicom_seg.writing import DicomOutputs
from wsss_adapters.endoscopy.frame_finder import find_frames
from wsss_adapters.endoscopy.hiding import hide, without_paths
from wsss_adapters.endoscopy.scenes import EndoscopyScenes
from wsss_toolkit.domain import Destination
from wsss_toolkit.errors import DataError, UsageError

FRAME = picture(8, 10)[None]


def study(folder, *names):
    """Write pictures and DICOM objects under names; return what is found."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        if name.endswith(".png"):
            Image.fromarray(FRAME[0]).save(folder / name)
        else:
            native(folder / name, FRAME, SOPInstanceUID=f"1.2.3.4.{number}", PatientName="Roe^Jane")
    return find_frames([str(folder)])


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def table(out):
    with (private_folder(out) / "names.csv").open(encoding="utf-8") as file:
        return {row["file"].rpartition("/")[2]: row["name"] for row in csv.DictReader(file)}


def test_names_are_neutral_and_only_the_owner_reads_key_and_table(tmp_path):
    found = study(tmp_path / "Roe", "Jane Roe 1.png", "王小东.png", "roe.dcm")
    out = tmp_path / "out"
    hidden = hide(found, out, None)
    names = [source.name for source in hidden.sources]
    assert sorted(name[:-5] for name in names) == ["dicom", "picture", "picture"]
    assert sorted(name[-4:] for name in names) == ["0001", "0002", "0003"]
    assert all(source.shown == source.name for source in hidden.sources)
    private = private_folder(out)
    assert private.name == "out.private" and mode(private) == 0o700
    assert mode(private / "key") == mode(private / "names.csv") == 0o600
    assert "made now" in hidden.notices[0] and not out.exists(), "nothing of it lies among the masks"
    assert set(table(out)) == {"Jane Roe 1.png", "王小东.png", "roe.dcm"}
    assert not [word for notice in hidden.notices for word in ("Jane", "王小东") if word in notice]


def test_later_calls_have_the_same_names_and_new_files_new_ones(tmp_path):
    out, folder = tmp_path / "out", tmp_path / "study"
    before = {s.path: s for s in hide(study(folder, "b.png", "d.dcm"), out, None).sources}
    key = key_for(out, None)
    hidden = hide(study(folder, "b.png", "d.dcm", "a.png", "c.png"), out, None)
    assert "of an earlier call" in hidden.notices[0] and key_for(out, None) == key
    after = {s.path: s for s in hidden.sources}
    assert all(after[path] == source for path, source in before.items()), "also what fingerprints are made of"
    assert len({s.name for s in hidden.sources}) == 4
    (folder / "d.dcm").rename(folder / "moved.dcm")
    [moved] = [s for s in hide(find_frames([str(folder)]), out, None).sources if s.kind == "dicom"]
    assert moved.name == before[folder / "d.dcm"].name, "an object is known by its UID, wherever it lies"


def test_numbers_do_not_follow_the_paths(tmp_path):
    orders = set()
    for number in range(6):
        hidden = hide(study(tmp_path / "study", *(f"{letter}.png" for letter in "abcde")), tmp_path / str(number), None)
        orders.add(tuple(source.path.name for source in hidden.sources))
    assert len(orders) > 1


def test_the_users_own_key(tmp_path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef\n")
    found = study(tmp_path / "study", "a.png", "b.dcm")
    hidden = [hide(found, tmp_path / out, str(key)) for out in ("one", "two")]
    assert hidden[0].sources == hidden[1].sources and "yours" in hidden[0].notices[0]
    assert not (private_folder(tmp_path / "one") / "key").exists()
    for wrong, message in ((tmp_path / "none", "the key cannot be read"), (tmp_path / "short", "a key has 16 to 4096")):
        (tmp_path / "short").write_text("secret\n")
        with pytest.raises(UsageError, match=f"{message}.*; make one: openssl rand -hex 32"):
            hide(found, tmp_path / "one", str(wrong))
    with pytest.raises(ValueError, match="--key-file belongs to --deidentify"):
        DicomOutputs(key_file="a")


def test_a_key_that_everybody_can_read_is_named_and_what_is_no_file_is_no_key(tmp_path):
    found = study(tmp_path / "study", "a.png")
    key = tmp_path / "key"
    key.write_text("0123456789abcdef" * 2)
    for rights, said in ((0o644, "(yours, which all users of this machine can read)"), (0o640, "(yours)")):
        key.chmod(rights)
        assert said in hide(found, tmp_path / "out", str(key)).notices[0]
    for odd in (tmp_path, Path("/dev/zero")):
        with pytest.raises(UsageError, match="is no file, so no key is read of it; make one"):
            hide(found, tmp_path / "out", str(odd))
    key.write_bytes(b"a" * 4097)
    with pytest.raises(UsageError, match="a key has 16 to 4096 bytes"):
        hide(found, tmp_path / "out", str(key))


def test_masks_with_names_and_without_them_are_not_mixed_in_one_folder(tmp_path):
    """Who forgot --deidentify would give away the masks of the call before, and their names."""
    scenes, out = EndoscopyScenes(), tmp_path / "out"
    found = study(tmp_path / "study", "Roe.png", "a.dcm")

    def call(*, hidden):
        return scenes.hide_scenes(found, Destination(out, DicomOutputs(deidentify=hidden), {}))

    assert call(hidden=False) == (found, ())
    out.mkdir()
    for name in ("Roe_mask.png", "Roe_scores_1_polyp.png", "dicom-0123456789ab_mask.dcm"):
        (out / name).touch()
    with pytest.raises(UsageError, match="holds masks of 2 files that its table of names does not know") as caught:
        call(hidden=True)
    assert "Roe" not in str(caught.value) and not private_folder(out).exists()
    for path in out.iterdir():
        path.unlink()
    [name, _] = [source.name for source in call(hidden=True)[0]]
    (out / f"{name}_mask.png").touch()
    assert call(hidden=True)[0]
    with pytest.raises(UsageError, match="holds masks that were made with --deidentify; give it again, or choose"):
        call(hidden=False)


def test_fingerprints_of_hidden_files_cannot_be_found_by_trying(tmp_path):
    found = study(tmp_path / "study", "a.png")
    one, other = (hide(found, tmp_path / out, None).sources[0] for out in ("one", "two"))
    assert len({found[0].fingerprint(), one.fingerprint(), other.fingerprint()}) == 3
    assert one.salt not in repr(one)
    assert keyed(b"a" * 16, "x") != keyed(b"b" * 16, "x")


@pytest.mark.parametrize("content", [b"", b"nothing", b"name,known_as\na,b\n", b'name,known_as,file\n"a'])
def test_a_damaged_table_is_named(tmp_path, content):
    path = private_folder(tmp_path / "out") / "names.csv"
    write_private(path, "")
    path.write_bytes(content + b"\n")
    with pytest.raises(UsageError, match=r"names\.csv: is no table of names"):
        hide(study(tmp_path / "study", "a.png"), tmp_path / "out", None)


def test_no_error_names_a_hidden_file(tmp_path):
    [source] = hide(study(tmp_path / "Roe", "Jane.png"), tmp_path / "out", None).sources
    for error in (DataError("is odd", where=str(source.path)), FileNotFoundError(2, "no", str(source.path))):
        with pytest.raises(DataError) as caught, without_paths(source):
            raise error
        assert "Jane" not in str(caught.value) and source.name in str(caught.value)
    with pytest.raises(RuntimeError, match="out of memory"), without_paths(source):
        raise RuntimeError("out of memory")
