"""`wsss run` on frames with and without findings, and `wsss pseudolabel` on a mixed study with planted identifiers."""

import csv
import json

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from fake_frames import header, jpeg, jpegs, native
from once import made_once
from PIL import Image

from wsss_toolkit.cli.main import cli

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
pytest.importorskip("monai")

IDENTIFIERS = {
    "PatientName": "Planted^Quixote",
    "PatientID": "PID-4711",
    "PatientBirthDate": "19440229",
    "StudyDate": "20190317",
    "AccessionNumber": "ACC-815-K",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.777001",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.777002",
    "ReferringPhysicianName": "House^Gregory",
    "InstitutionName": "Sanatorium Berghof",
}
SECRETS = [
    "Planted",
    "Quixote",
    "PID-4711",
    "19440229",
    "20190317",
    "ACC-815-K",
    "777001",
    "777002",
    "House",
    "Berghof",
]

RECIPE = {
    "name": "tiny-frames",
    "data": {
        "adapter": "hyperkvasir",
        "layout": "frames",
        "masks": "masks",
        "classes": [
            {"name": "Background", "color": "#000000"},
            {"name": "Polyp", "color": "#ff0000", "code": {"value": "68496003", "meaning": "Polyp of colon"}},
        ],
        "background": "Background",
        "splits": {"counts": {"train": 8, "val": 4, "test": 4}},
    },
    "channels": {"rgb": {"bands": "all", "scale": "imagenet"}},
    "labels": {"min_coverage": 0.01},
    "model": {
        "backbone": "vit_tiny_patch16_224",
        "patch_size": 8,
        "image_size": 32,
        "depth": 2,
        "attention": "asymmetric",
        "class_tokens": {"enter_at": 1},
    },
    "heads": {"class": {"kind": "per_token"}, "patch": {"kind": "linear"}},
    "objective": {"presence": {}, "patch": {"kind": "presence", "head": "patch"}, "open_gates": {}},
    "train": {"epochs": 2, "batch_size": 4, "lr": 1.0e-3},
    "machine": {"precision": "32", "devices": 1},
    "pseudo_masks": {
        "source": {"kind": "fused", "layers": "last"},
        "background": "threshold",
        "splits": ["train", "val", "test"],
    },
    "segmentation": {"encoder": "resnet18", "epochs": 1, "batch_size": 4, "image_size": 32},
}


def mucosa(height, width, number, polyp):
    """Return a pink picture uint8 `h w 3`, with a pale disc if `polyp`, and the disc's mask."""
    random = np.random.default_rng(number)
    rows, columns = np.indices((height, width))
    pixels = np.stack([180 + 20 * rows / height, 90 + 20 * columns / width, 80 + 0 * rows], axis=-1)
    pixels += random.normal(0, 6, pixels.shape)
    disc = (rows - height / 2) ** 2 + (columns - width * random.uniform(0.3, 0.7)) ** 2 < (height / 5) ** 2
    disc &= polyp
    pixels[disc] = (240, 220, 200)
    return pixels.clip(0, 255).astype(np.uint8), disc.astype(np.uint8)


@pytest.fixture(scope="session")
def run_once(tmp_path_factory):
    """A finished run on 16 frames of two sizes, half of which show no polyp; made once for all test processes."""

    def make(folder):
        for part in ("images", "masks"):
            (folder / "data" / part).mkdir(parents=True)
        for number in range(16):
            pixels, mask = mucosa(40 + 8 * (number % 3 == 0), 64, number, number % 2 == 0)
            Image.fromarray(pixels).save(folder / "data" / "images" / f"{number:02d}.png")
            Image.fromarray(mask).save(folder / "data" / "masks" / f"{number:02d}.png")
        recipe = {**RECIPE, "data": {**RECIPE["data"], "root": str(folder / "data")}}
        (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        command = ["run", str(folder / "tiny.yaml"), "--out", str(folder / "run"), "--device", "cpu"]
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output + str(result.exception)

    return made_once(tmp_path_factory, "tiny-frames", make) / "run"


def label(run, inputs, out, *options, code=0):
    """Run the command; return what it printed."""
    arguments = ["pseudolabel", "--run", run, "--tiles", inputs, "--out", out, "--device", "cpu", *options]
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


@pytest.fixture
def study(tmp_path):
    """A folder of a still, a video of five frames below a patient's name, and two pictures of different sizes."""
    folder = tmp_path / "study"
    (folder / "Quixote_PID-4711").mkdir(parents=True)
    frames = [mucosa(40, 64, number, number % 2 == 0)[0] for number in range(5)]
    native(folder / "still.dcm", frames[:1], SOPInstanceUID="1.2.826.0.1.3680043.8.498.777003", **IDENTIFIERS)
    coded = [jpeg(frame) for frame in frames]
    shape = frames[0].shape
    video = folder / "Quixote_PID-4711" / "video"  # no suffix, as archives store them
    jpegs(video, coded, shape, SOPInstanceUID="1.2.826.0.1.3680043.8.498.777004", **IDENTIFIERS)
    for number in (0, 1):
        Image.fromarray(mucosa(48 + 8 * number, 70, 30 + number, True)[0]).save(folder / f"frame{number}.png")
    return folder


def test_images_without_a_finding_train_the_classifier_and_get_an_empty_mask(run_once):
    record = json.loads((run_once / "labels" / "stage.json").read_text())
    assert record["result"]["splits"]["train"]["without_class"] > 0
    assert record["result"]["provenance"]["negatives"]
    with (run_once / "labels" / "labels.csv").open() as file:
        split = {row["image"]: row["split"] for row in csv.DictReader(file)}
    index = json.loads((run_once / "pseudo_masks" / "index.json").read_text())
    assert {key for files in index.values() for key in files} == set(split)
    for name in ("train", "val", "test"):
        with (run_once / "pseudo_masks" / f"{name}.scores.csv").open() as file:
            for row in csv.DictReader(file):
                mask = np.asarray(Image.open(run_once / "pseudo_masks" / index[name][row["image"]]))
                if float(row["Polyp"]) < 0.5:
                    assert set(np.unique(mask)) <= {0, 255}


def test_a_mixed_study_is_labelled_each_in_its_own_format(run_once, study, tmp_path):
    out = tmp_path / "masks"
    printed = label(run_once, study, out, "--confidence", "--batch-size", "2")
    written = sorted(path.name for path in out.iterdir() if path.name != ".lock")
    assert [name for name in written if name.endswith(".png")] == [
        "frame0_confidence.png", "frame0_mask.png", "frame1_confidence.png", "frame1_mask.png"
    ]  # fmt: skip
    segmentations = [name for name in written if name.endswith("_mask.dcm")]
    assert len(segmentations) == 2
    assert np.asarray(Image.open(out / "frame1_mask.png")).shape == (56, 70)
    sizes = {}
    for name in segmentations:
        read = pydicom.dcmread(out / name)
        assert read.Modality == "SEG" and read.PatientID == "PID-4711"
        [instance] = read.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        sizes[instance.ReferencedSOPInstanceUID[-6:]] = (read.Rows, read.Columns)
    assert sizes == {"777003": (40, 64), "777004": (40, 64)}
    for text in [printed, *written, *(path.read_text("latin1") for path in out.glob("*.png"))]:
        assert not [secret for secret in SECRETS if secret in text]
    again = label(run_once, study, out, "--confidence", "--batch-size", "2")
    assert again.count("unchanged, kept") == 4


def test_nothing_identifies_the_patient_where_that_is_asked_for(run_once, study, tmp_path):
    out = tmp_path / "masks"
    printed = label(run_once, study, out, "--deidentify", "--confidence", "--scores")
    everything = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert sum(name.endswith("_mask.dcm") for name in everything) == 2
    for name, content in {**everything, "printed": printed.encode()}.items():
        found = [secret for secret in [*SECRETS, str(study)] if secret.encode() in content or secret in name]
        assert not found, f"{name} holds {found}"
    masks = sorted(name for name in everything if "_mask" in name)
    assert [name[-13:-9] for name in sorted(masks, key=lambda name: name[-13:])] == ["0001", "0002", "0003", "0004"]
    key = tmp_path / "masks.private" / "key"
    assert str(key) in printed and "made now" in printed
    again = label(run_once, study, out, "--deidentify", "--confidence", "--scores")
    assert again.count("unchanged, kept") == 4 and "of an earlier call" in again
    for name in ("one", "two"):
        label(run_once, study, tmp_path / name, "--deidentify", "--key-file", key)
    uids = [
        sorted(str(pydicom.dcmread(path).StudyInstanceUID) for path in (tmp_path / folder).glob("*_mask.dcm"))
        for folder in ("masks", "one", "two")
    ]
    assert uids[0] == uids[1] == uids[2]
    other = tmp_path / "other.key"
    other.write_text("another secret of the user's")
    flat = " ".join(label(run_once, study, out, "--deidentify", "--key-file", other, code=2).split())
    assert "made with another model, other settings" in flat


def test_no_message_names_an_input_where_that_is_asked_for(run_once, study, tmp_path):
    (study / "Quixote_PID-4711" / "gone.dcm").write_bytes((study / "still.dcm").read_bytes()[:700])
    (study / "Herr Jaromir.png").write_bytes((study / "frame0.png").read_bytes()[:300])
    printed = label(run_once, study, tmp_path / "masks", "--deidentify", code=1)
    assert str(study) not in printed and "Jaromir" not in printed and "gone" not in printed
    assert "2 of 6 scenes failed" in printed and "picture-000" in printed
    for missing in ("Quixote.png", "Quixote*", ""):
        (tmp_path / "empty").mkdir(exist_ok=True)
        inputs = tmp_path / missing if missing else tmp_path / "empty"
        printed = label(run_once, inputs, tmp_path / "masks", "--deidentify", code=2)
        assert "give the command without --deidentify to see which" in " ".join(printed.split())
        assert "Quixote" not in printed
    printed = label(run_once, study, tmp_path / "masks", "--key-file", tmp_path / "key", code=2)
    assert "--key-file belongs to --deidentify" in " ".join(printed.split())


def test_broken_files_are_named_and_the_others_finished(run_once, study, tmp_path):
    still = (study / "still.dcm").read_bytes()
    (study / "cut.dcm").write_bytes(still[: len(still) // 2])
    (study / "cut.png").write_bytes((study / "frame0.png").read_bytes()[:300])
    printed = label(run_once, study, tmp_path / "masks", code=1)
    flat = " ".join(printed.split())
    assert "cut.dcm" in flat and "cut.png" in flat and "Traceback" not in flat
    masks = [path.name for path in (tmp_path / "masks").iterdir() if "_mask" in path.name]
    assert len(masks) == 4
    assert not [secret for secret in SECRETS if secret in printed]


def test_the_classifiers_maps_label_frames_too(run_once, study, tmp_path):
    label(run_once, study / "Quixote_PID-4711", tmp_path / "masks", "--stage", "vit")
    [mask] = (tmp_path / "masks").glob("*_mask.dcm")
    read = pydicom.dcmread(mask)
    assert (read.Rows, read.Columns) == (40, 64)


def test_a_label_map_where_the_recipe_says_so(run_once, study, tmp_path):
    out, still = tmp_path / "masks", study / "still.dcm"
    label(run_once, still, out)
    [mask] = out.glob("*_mask.dcm")
    binary = pydicom.dcmread(mask)
    option = ("--set", "data.segmentation_type=labelmap")
    assert "made with another model, other settings" in " ".join(label(run_once, still, out, *option, code=2).split())
    label(run_once, still, out, *option, "--overwrite")
    numbers = pydicom.dcmread(mask)
    assert (binary.SegmentationType, numbers.SegmentationType) == ("BINARY", "LABELMAP")
    assert np.array_equal(numbers.pixel_array > 0, binary.pixel_array > 0)


@pytest.mark.slow
def test_blocks_in_other_processes_give_the_same_video(run_once, tmp_path):
    frames = [mucosa(40, 64, number, number % 2 == 0)[0] for number in range(19)]
    jpegs(tmp_path / "video", [jpeg(frame) for frame in frames], frames[0].shape)
    found = []
    for name, options in (("one", ()), ("two", ("--workers", "2"))):
        # Eight batches make a block: three blocks, the last with three frames.
        label(run_once, tmp_path / "video", tmp_path / name, "--batch-size", "1", *options)
        [mask] = (tmp_path / name).glob("*_mask.dcm")
        found.append(pydicom.dcmread(mask).pixel_array)
    assert found[0].any()
    assert np.array_equal(*found)


@pytest.mark.parametrize("option", ["--polygons", "--require-crs"])
def test_options_for_maps_are_refused(run_once, study, tmp_path, option):
    printed = label(run_once, study, tmp_path / "masks", option, code=2)
    assert f"{option} has no meaning for scenes of the adapter 'hyperkvasir'" in " ".join(printed.split())


def test_headers_are_what_the_planted_identifiers_say():
    made = header(np.zeros((1, 4, 4, 3), np.uint8), "RGB", **IDENTIFIERS)
    assert made.PatientName == "Planted^Quixote"  # else the tests above would look for nothing
