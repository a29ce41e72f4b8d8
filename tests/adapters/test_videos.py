"""Films are not read: one line says so, and the way out."""

import re

import pytest
from fake_frames import RGB, native, picture
from PIL import Image

from wsss_adapters.endoscopy.scenes import EndoscopyScenes
from wsss_adapters.pictures.scenes import PictureScenes
from wsss_adapters.pictures.videos import is_video
from wsss_toolkit.errors import UsageError

FILMS = {
    "a.mp4": b"\0\0\0\x18ftypmp42" + b"\0" * 20,
    "a.mov": b"\0\0\0\x14ftypqt  " + b"\0" * 20,
    "a.avi": b"RIFF\x00\x01\x00\x00AVI LIST" + b"\0" * 20,
    "a.mkv": b"\x1a\x45\xdf\xa3" + b"\0" * 20,
    "a.wmv": b"\x30\x26\xb2\x75" + b"\0" * 20,
    "named without a suffix": b"\0\0\0\x18ftypisom" + b"\0" * 20,
    "empty.MPG": b"",
}


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("scenes", [EndoscopyScenes, PictureScenes])
def test_a_film_is_named_with_the_way_out(tmp_path, name, scenes):
    path = tmp_path / "films" / name
    path.parent.mkdir()
    path.write_bytes(FILMS[name])
    for given in (path, path.parent, path.parent / "*"):
        with pytest.raises(UsageError) as caught:
            scenes().find_scenes([str(given)], RGB)
        line = str(caught.value)
        assert line.startswith(f"{path}: is a video, which is not read; label its frames: mkdir ")
        assert re.search(r"ffmpeg -i .* .*-frames'?/%06d\.png$", line)
    (path.parent / "b.mp4").write_bytes(FILMS["a.mp4"])
    with pytest.raises(UsageError, match="and 1 more are videos, which are not read"):
        scenes().find_scenes([str(path.parent)], RGB)


def test_films_among_pictures_are_left_out_and_listed(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    native(tmp_path / "b.dcm", picture()[None])
    native(tmp_path / "report.dcm", picture()[None], SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    (tmp_path / "DICOMDIR").write_bytes(b"")
    for name, content in FILMS.items():
        (tmp_path / name).write_bytes(content)
    for scenes, kept in ((EndoscopyScenes(), {"a.png", "b.dcm"}), (PictureScenes(), {"a.png"})):
        sources = scenes.find_scenes([str(tmp_path)], RGB)
        assert {source.path.name for source in sources} == kept
        left = {path.name for path in scenes.unread([str(tmp_path)], sources)}
        assert set(FILMS) <= left and not kept & left
        assert ("DICOMDIR" in left) is isinstance(scenes, PictureScenes)


@pytest.mark.parametrize(
    "content", [b"\0\0\0\x1cftypavif" + b"\0" * 9, b"RIFF\0\0\0\0WEBPVP8 ", b"\x89PNG\r\n\x1a\n", b"ftyp"]
)
def test_pictures_are_no_films(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert not is_video(tmp_path / "a") and not is_video(tmp_path / "nowhere.mp4")
