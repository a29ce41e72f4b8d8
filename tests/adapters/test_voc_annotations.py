import pytest
from fake_natural import voc_xml, write_voc

from wsss_adapters.natural.voc import Voc, VocOptions
from wsss_adapters.natural.voc_files import OBJECTS, Annotation, read_annotation
from wsss_toolkit.errors import DataError


def annotation(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_annotation(path)


def test_objects_and_size(tmp_path):
    found = annotation(tmp_path, voc_xml(["person", "dog", "person"], (375, 500)))
    assert found == Annotation((375, 500), ("dog", "person"), ())


def test_parts_of_objects_are_no_objects(tmp_path):
    assert "<name>head</name>" in voc_xml(["person"])
    assert annotation(tmp_path, voc_xml(["person"])).clear == ("person",)


def test_an_annotation_without_objects_shows_none(tmp_path):
    assert annotation(tmp_path, voc_xml([])) == Annotation((20, 30), (), ())
    assert annotation(tmp_path, "<annotation/>") == Annotation(None, (), ())


def test_a_class_is_difficult_only_if_all_its_objects_are(tmp_path):
    text = voc_xml(["dog", "cat"], difficult=("dog",)).replace("</annotation>", "") + "".join(
        voc_xml(["cat"], difficult=("cat",)).partition("  <object>")[1:]
    )
    assert annotation(tmp_path, text) == Annotation((20, 30), ("cat",), ("dog",))


@pytest.mark.parametrize(("difficult", "shown"), [("keep", ("cat", "dog")), ("skip", ("cat",))])
def test_difficult_objects_count_as_the_recipe_says(tmp_path, difficult, shown):
    root = write_voc(tmp_path)
    path = root / "VOCdevkit/VOC2012/Annotations/2007_000032.xml"
    path.write_text(voc_xml(["dog", "cat"], difficult=("dog",)))
    options = VocOptions.model_validate({"adapter": "voc", "root": root, "difficult": difficult})
    assert Voc(options).image_labels("2007_000032") == shown


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        ("<annotation><object>", "is no well-formed XML"),
        ("<a/>", "is no annotation of VOC but <a>"),
        (voc_xml(["unicorn"]), "names the class 'unicorn'"),
        ("<annotation><object/></annotation>", "names the class ''"),
        (voc_xml(["dog"]).replace("<difficult>0", "<difficult>yes"), "says difficult 'yes'"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "is refused: it has a DOCTYPE"),
        (
            '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY x "y">]><annotation/>'.encode("utf-16"),
            "is refused: it has a DOCTYPE",
        ),
        ('<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotation/>', "is refused: it has a DOCTYPE"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "is "),
        (b"\xff\xfe\xfd", "is no well-formed XML"),
    ],
)
def test_malformed_annotations_are_named(tmp_path, text, what):
    with pytest.raises(DataError) as refused:
        annotation(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path / 'a.xml'}: {what}")
    assert refused.value.fix


def test_an_entity_bomb_is_refused_before_it_grows(tmp_path):
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<!DOCTYPE b [<!ENTITY a0 "lol">{entities}]><annotation><folder>&a11;</folder></annotation>'
    with pytest.raises(DataError, match="it has a DOCTYPE"):
        annotation(tmp_path, bomb)


def test_there_are_twenty_classes_in_alphabetical_order():
    assert len(OBJECTS) == 20
    assert sorted(OBJECTS) == list(OBJECTS)
