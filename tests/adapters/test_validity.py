"""Which pixels are missing: one rule, read as they are or warped."""

import numpy as np
import pytest
import rasterio
from fake_scenes import BOTH, OPTICAL, S2, draw, radar, write_stack
from fake_tiles import draw_tile, sentinel_section, write_tiff
from rasterio.enums import ColorInterp

from wsss_adapters.geo_scenes.finder import find_scenes
from wsss_adapters.geo_scenes.options import SceneRules
from wsss_adapters.geo_scenes.reader import open_geo_scene
from wsss_adapters.geotiff.reading import read_bands
from wsss_adapters.geotiff.validity import Validity, alpha_band
from wsss_adapters.geotiff.values import BandValues
from wsss_adapters.remote_sensing.sentinel import Sentinel, SentinelOptions
from wsss_toolkit.domain import ChannelTable, Sensor, Window


def write(path, pixels, *, names=None, colors=None, mask=None, nodata=None, scale=1):
    """Write a stack with colour interpretations and an internal mask; `scale` makes its pixels larger."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, crs="EPSG:32632",
            transform=rasterio.Affine(10 * scale, 0, 500_000, 0, -10 * scale, 5_000_000), nodata=nodata,
        ) as raster,
    ):  # fmt: skip
        if colors:
            raster.colorinterp = colors
        raster.write(pixels)
        for band, name in enumerate(names or (), start=1):
            if name:
                raster.set_band_description(band, name)
        if mask is not None:
            raster.write_mask(mask)
    return path


def missing(path, channels=OPTICAL, rules=None):
    """Return where each band of a scene is missing, `c h w`."""
    [source] = find_scenes([str(path)], channels, rules, None)
    with open_geo_scene(source, channels, {}) as scene:
        found = scene.read(Window(0, 0, scene.height, scene.width)).bands
    return np.concatenate([np.isnan(bands) for bands in found.values()])


def beside(path, pixels, **options):
    """Write a stack on a grid of 20 m, and one of 10 m beside it that gives the scene its grid."""
    write(path / "a_S2.tif", pixels, scale=2, **options)
    write_tiff(path / "a_S1.tif", radar(40, 40), names=("VV", "VH"))
    pairs = {"sentinel1": {"path": "{scene}_S1.tif"}, "sentinel2": {"path": "{scene}_S2.tif"}}
    return path, BOTH, SceneRules.model_validate({"sensors": pairs})


ALPHA = [ColorInterp.gray, *[ColorInterp.undefined] * 3, ColorInterp.alpha]


def with_alpha(dtype):
    pixels = draw(5, 20, 20, dtype=dtype)
    pixels[4] = np.iinfo(dtype).max
    pixels[4, :6] = 0
    pixels[4, 6] = 1  # hardly opaque, but there
    return pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("names", [S2.bands, (*S2.bands, "alpha"), None])
def test_an_alpha_band_of_a_mosaic_is_a_mask_on_every_path(dtype, names, tmp_path):
    """It was one on other grids only, and a mosaic without names was refused."""
    pixels = with_alpha(dtype)
    assert (
        missing(write(tmp_path / "own/a.tif", pixels, names=names, colors=ALPHA)).mean(axis=(1, 2)).tolist()
        == [0.3] * 4
    )
    warped = missing(*beside(tmp_path / "warped", pixels, names=names, colors=ALPHA))[2:]
    assert warped[:, :12].all() and not warped[:, 12:].any()
    section = sentinel_section(
        tmp_path,
        sensors={"sentinel2": {"path": "own/{site}.tif", "bands": list(S2.bands)}},
        labels=None,
        splits={"lists": {"train": ["a"]}},
    )
    adapter = Sentinel(SentinelOptions.model_validate(section))
    found = np.isnan(adapter.read("a", ChannelTable(adapter.sensors)).bands["sentinel2"])
    assert found[:, :6].all() and not found[:, 6:].any()


@pytest.mark.parametrize("names", [S2.bands, ("R", "G", "B", "N"), None])
def test_a_band_that_has_a_name_is_data_whatever_gdal_makes_of_it(names, tmp_path):
    """GDAL calls the fourth band of bytes alpha: near infrared, 0 over water, made water missing."""
    pixels = draw(4, 20, 20, dtype=np.uint8)
    pixels[3, :8] = 0
    path = write(tmp_path / "a.tif", pixels, names=names)
    with rasterio.open(path) as raster:
        assert raster.colorinterp[3] == ColorInterp.alpha, "this is what GDAL does"
    assert not missing(path).any()
    assert not missing(*beside(tmp_path / "warped", pixels, names=names)).any()
    section = sentinel_section(
        tmp_path,
        sensors={"camera": {"path": "{site}.tif", "bands": ["R", "G", "B", "N"]}},
        labels=None,
        splits={"lists": {"train": ["a"]}},
    )
    if names == S2.bands:  # blue first, as the names say, is not the recipe's order
        return
    adapter = Sentinel(SentinelOptions.model_validate(section))
    for bands in (("R", "G", "B", "N"), ("R", "G")):
        sample = adapter.read("a", ChannelTable((Sensor("camera", bands),)))
        assert not np.isnan(sample.bands["camera"]).any()


def test_an_alpha_band_is_none_where_three_bands_are_wanted_of_four(tmp_path):
    pixels = with_alpha(np.uint8)[1:]
    colors = ChannelTable((Sensor("camera", ("red", "green", "blue")),))
    assert missing(write(tmp_path / "a.tif", pixels), colors).mean() == pytest.approx(0.3)
    with rasterio.open(tmp_path / "a.tif") as raster:
        assert (alpha_band(raster), alpha_band(raster, {4})) == (4, None)


def virtual(path, source, bands):
    """Write a virtual raster whose bands have nodata values of their own."""
    with rasterio.open(source) as raster:
        a, _, c, _, e, f = tuple(raster.transform)[:6]
        size = f'rasterXSize="{raster.width}" rasterYSize="{raster.height}"'
        kind = {"float32": "Float32", "uint16": "UInt16"}[raster.dtypes[0]]
    text = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{number}"><Description>{name}</Description>'
        f"<NoDataValue>{nodata}</NoDataValue><SimpleSource>"
        f'<SourceFilename relativeToVRT="1">{source.name}</SourceFilename><SourceBand>{number}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for number, (name, nodata) in enumerate(bands, start=1)
    )
    place = f"<SRS>EPSG:32632</SRS><GeoTransform>{c},{a},0,{f},0,{e}</GeoTransform>"
    path.write_text(f"<VRTDataset {size}>{place}{text}</VRTDataset>")
    return path


@pytest.mark.parametrize("scale", [1, 2])
def test_each_band_has_its_own_nodata(scale, tmp_path):
    """The first band's nodata was taken for all bands of a file that is warped: the filler of others was data."""
    pixels = np.full((2, 40 // scale, 40 // scale), -12, np.float32)
    pixels[0, :4] = 0
    pixels[1, -4:] = -9999
    write(tmp_path / "src.tif", pixels, scale=scale)
    virtual(tmp_path / "a_S1.vrt", tmp_path / "src.tif", [("VH", 0), ("VV", -9999)])
    write_stack(tmp_path / "a_S2.tif", size=(40, 40))
    pairs = {"sentinel1": {"path": "{scene}_S1.vrt"}, "sentinel2": {"path": "{scene}_S2.tif"}}
    [source] = find_scenes([str(tmp_path)], BOTH, SceneRules.model_validate({"sensors": pairs}), None)
    with open_geo_scene(source, BOTH, {}, allowed=("VRT",)) as scene:
        vv, vh = scene.read(Window(0, 0, 40, 40)).bands["sentinel1"]
    assert np.isnan(vh[: 4 * scale]).all() and np.isnan(vv[-4 * scale :]).all()
    assert np.isnan(vv).sum() == np.isnan(vh).sum() == 160 * scale
    assert set(np.unique(vv[np.isfinite(vv)])) == set(np.unique(vh[np.isfinite(vh)])) == {np.float32(-12)}


@pytest.mark.parametrize("nodata", [None, 4321])
def test_an_internal_mask_counts_and_does_not_hide_the_nodata_value(nodata, tmp_path):
    pixels = draw(4, 20, 20)
    pixels[:, 10:12] = 4321
    mask = np.full((20, 20), 255, np.uint8)
    mask[:5] = 0
    options = {"names": S2.bands, "mask": mask, "nodata": nodata}
    rows = [*range(5), *([10, 11] if nodata else [])]
    path = write(tmp_path / "own/a.tif", pixels, **options)
    assert sorted(set(np.nonzero(missing(path))[1])) == rows
    assert np.isnan(read_bands(path, [2, 4])).sum() == 2 * 20 * len(rows)
    warped = missing(*beside(tmp_path / "warped", pixels, **options))[2:]
    assert sorted(set(np.nonzero(warped)[1])) == [row for pair in rows for row in (2 * pair, 2 * pair + 1)]


def test_missing_pixels_are_the_same_in_training_and_in_scenes(tmp_path):
    pixels = draw_tile(0)[1][:4].astype(np.float32)
    pixels[0, :3], pixels[1, 5], pixels[2, 6], pixels[3, 7] = -1, np.nan, np.inf, -1
    path = write_tiff(tmp_path / "a.tif", pixels, names=S2.bands, nodata=-1)
    np.testing.assert_array_equal(missing(path), np.isnan(read_bands(path, [1, 2, 3, 4])))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("nodata", "stated"), [(None, None), (7, None), (None, 9), (7, 9)])
@pytest.mark.parametrize("alpha", [None, 3])
def test_reading_in_place_and_the_view_that_gdal_warps_follow_one_rule(dtype, mask, nodata, stated, alpha, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 12, (3, 20, 24)).astype(dtype)
    if pixels.dtype.kind == "f":
        pixels[0, 3] = np.nan
    hidden = np.full((20, 24), 255, np.uint8)
    hidden[:4] = 0
    path = write(tmp_path / "a.tif", pixels, nodata=nodata, mask=hidden if mask else None)
    with rasterio.open(path) as source:
        validity = Validity.of(source, alpha=alpha, stated={} if stated is None else {1: stated, 2: stated})
        read = validity.read(source, [1, 2])
        with validity.view(source, [1, 2]) as view:
            assert np.array_equal(read, view.read(), equal_nan=True)
    gone = np.isin(pixels[:2], [value for value in (nodata, stated) if value is not None]) | np.isnan(pixels[:2])
    gone |= mask & (hidden == 0)
    gone |= (pixels[2] == 0) if alpha else False
    assert np.array_equal(read, np.where(gone, np.nan, pixels[:2]), equal_nan=True)


def test_each_sensor_of_one_file_has_its_own_value_for_missing_pixels(tmp_path):
    """The first sensor's was taken for all."""
    pixels = np.concatenate([radar(20, 20), draw(4, 20, 20).astype(np.float32)])
    pixels[0, 2], pixels[2, 4], pixels[3, 6] = -9999, 0, -9999
    path = write(tmp_path / "a.tif", pixels.astype(np.float32), names=("VV", "VH", *S2.bands))
    values = {"sentinel1": BandValues(nodata=-9999.0), "sentinel2": BandValues(nodata=0.0)}
    [source] = find_scenes([str(path)], BOTH, None, None, values)
    with open_geo_scene(source, BOTH, {}) as scene:
        read = scene.read(Window(0, 0, 20, 20)).bands
    gone = np.concatenate([np.isnan(read["sentinel1"]), np.isnan(read["sentinel2"])])
    assert gone[0, 2].all() and gone[2, 4].all() and not gone[3, 6].any() and gone.sum() == 40
