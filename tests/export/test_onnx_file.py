"""The network as ONNX: the same scores, and what Deepness needs to know."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from wsss_toolkit.cli.main import cli
from wsss_toolkit.domain import ChannelTable, ClassTable, Sample, Sensor
from wsss_toolkit.errors import UsageError
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.heads.kinds import Linear, PerToken
from wsss_toolkit.images.scaling import BandScaling, Preprocessing
from wsss_toolkit.recipe.schema import Model, Segmentation
from wsss_toolkit.segmentation.unet import ARCHITECTURES, build_network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from wsss_toolkit.export.onnx_file import export_onnx  # noqa: E402

CLASSES = ClassTable(("Forest", "Urban/Built-up", "Wäter"), ((0, 99, 0), (120, 120, 120), (0, 0, 200)))
PREPARE = Preprocessing(
    ChannelTable((Sensor("sentinel1", ("VV",)), Sensor("sentinel2", ("B02", "B04")))),
    (BandScaling(-25, 0, -25, 25), BandScaling(0, 10000, 0, 10000), BandScaling(-3.4e38, 3.4e38, 1200, 800)),
    "early",
)
TAGS = {"wsss_recipe": "tiny", "wsss_label_source": "tag_file"}


def network(architecture="unet"):
    torch.manual_seed(0)
    section = Segmentation(architecture=architecture, encoder="resnet18", weights="none")
    built = build_network(section, 3, 3).eval()
    with torch.no_grad():  # statistics other than those of a new network, as training leaves them
        for module in built.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
    return built


def draw(count, size):
    random = np.random.default_rng(count)
    radar = random.normal(-14, 8, (count, 1, size, size))
    optical = random.normal(2500, 2500, (count, 2, size, size))
    bands = np.concatenate([radar, optical], axis=1).astype(np.float32)
    bands[:, :, :5, :5] = np.nan
    return bands


def ours(built, bands):
    """Scores by the toolkit's own path: `Preprocessing`, network, softmax."""
    images = []
    for image in bands:
        scaled, _, _ = PREPARE(Sample("x", {"sentinel1": image[:1], "sentinel2": image[1:]}))
        images.append(torch.from_numpy(scaled))
    with torch.inference_mode():
        return built(torch.stack(images)).softmax(dim=1).numpy()


def run(path, bands):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"bands": bands})[0]


def export(built, path, **changes):
    options = {"tile": 64, "overlap": 0.25, "resolution": 10.0, "tags": TAGS, **changes}
    return export_onnx(built, PREPARE, CLASSES, path, **options)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "unet"])
def test_every_architecture_gives_the_scores_of_torch(architecture, tmp_path):
    built = network(architecture)
    path = export(built, tmp_path / "net.onnx")
    bands = draw(3, 64)
    np.testing.assert_allclose(run(path, bands), ours(built, bands), atol=1e-4)


def test_onnxruntime_gives_the_scores_of_torch_for_any_number_of_images(tmp_path):
    built = network()
    path = export(built, tmp_path / "net.onnx")
    for count in (1, 2, 5):
        bands = draw(count, 64)
        found = run(path, bands)
        assert found.shape == (count, 3, 64, 64)
        np.testing.assert_allclose(found, ours(built, bands), atol=1e-4)
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    first = path.read_bytes()
    export(built, path, overwrite=True)
    assert path.read_bytes() == first, "the same network gives the same bytes"
    assert b"site-packages" not in first and str(tmp_path).encode() not in first

    model = onnx.load(path)
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert props.items() >= TAGS.items()
    assert json.loads(props["model_type"]) == "Segmentor"
    assert json.loads(props["class_names"]) == {"0": "Forest", "1": "Urban/Built-up", "2": "Wäter"}
    assert (json.loads(props["resolution"]), json.loads(props["tiles_overlap"])) == (1000.0, 25)
    assert json.loads(props["tiles_size"]) == json.loads(props["tile_size"]) == 64
    assert json.loads(props["channels"]) == ["sentinel1.VV", "sentinel2.B02", "sentinel2.B04"]
    [entry] = model.graph.input
    dims = [dim.dim_value or dim.dim_param for dim in entry.type.tensor_type.shape.dim]
    assert dims[1:] == [3, 64, 64] and isinstance(dims[0], str)

    # What Deepness does with the pixels of a layer: divide by 255, standardise as the metadata say, channels first.
    bands = np.nan_to_num(draw(2, 64))
    pixels = bands.transpose(0, 2, 3, 1)
    mean, std = (np.array(json.loads(props[f"standardization_{name}"])) for name in ("mean", "std"))
    fed = ((np.float32(pixels * 1.0 / 255.0) - mean) / std).transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_allclose(run(path, fed), ours(built, bands), atol=1e-4)


@pytest.mark.parametrize(("patch_scores", "scale", "kind"), [(False, 1, "borders"), (True, 2, "head")])
def test_the_classifier_as_encoder_is_exported_at_any_tile(tmp_path, patch_scores, scale, kind):
    section = Model(
        backbone="vit_tiny_patch16_224",
        patch_size=8,
        image_size=32,
        depth=2,
        attention="asymmetric",
        class_tokens={"enter_at": 1},
    )
    torch.manual_seed(0)
    heads = {"class": PerToken(kind="per_token"), "patch": Linear(kind="linear")}
    classifier = build_classifier(section, heads, PREPARE.channels, "early", 2)
    decoder = {"blocks": 2, "width": 8, "patch_scores": patch_scores, "decoder": kind}
    wanted = Segmentation(encoder="classifier", classifier=decoder, input_scale=scale)
    built = build_network(wanted, 3, 3, classifier, background=0).eval()
    path = export(built, tmp_path / "net.onnx", tile=48)  # another grid than the classifier was built for
    bands = draw(3, 48)
    np.testing.assert_allclose(run(path, bands), ours(built, bands), atol=1e-4)
    assert built.classifier.backbone.pos_embed.grid == (4, 4), "export leaves the network as it is"
    with pytest.raises(UsageError, match="--tile 100: the network takes multiples of 8; for example 96"):
        export(built, tmp_path / "other.onnx", tile=100)


def test_sizes_that_do_not_fit_and_existing_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="--tile 100: the network takes multiples of 32; for example 96"):
        export(network(), tmp_path / "net.onnx", tile=100)
    (tmp_path / "net.onnx").write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists already; use --overwrite"):
        export(network(), tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == b"precious"


@pytest.mark.slow
def test_the_command_exports_a_run(trained):
    result = CliRunner().invoke(cli, ["export", str(trained), "--onnx", "--tile", "64", "--resolution", "10"])
    assert result.exit_code == 0, result.output
    assert "bands, in this order: sentinel1.VV, sentinel1.VH, sentinel2.B02" in result.output
    props = {prop.key: prop.value for prop in onnx.load(trained / "tiny.onnx").metadata_props}
    assert props["wsss_label_source"] == "mask_coverage>=0.1" and "Forest" in props["class_names"]
    again = CliRunner().invoke(cli, ["export", str(trained), "--onnx"])
    assert again.exit_code == 2 and "exists already" in again.output
    formless = CliRunner().invoke(cli, ["export", str(trained)])
    assert formless.exit_code == 2 and "add one of --onnx" in formless.output
    report = json.loads((trained / "report.json").read_text())
    del report["run"]["stages"]["segmentation"]
    (trained / "report.json").write_text(json.dumps(report))
    bare = CliRunner().invoke(cli, ["export", str(trained), "--onnx"])
    assert bare.exit_code == 2 and "no segmentation network to export" in bare.output
