"""The house's rules about who may import whom, read from the source."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
CORE = sorted((REPOSITORY / "wsss_toolkit").rglob("*.py"))
ADAPTERS = sorted((REPOSITORY / "adapters").rglob("*.py"))

LAYERS = {
    "__main__": {"cli"},
    "errors": set(),
    "files": {"errors"},
    "state": {"errors"},
    "compute": {"errors"},
    "processes": set(),
    "domain": {"errors", "files"},  # a fingerprint knows files by their content
    "recipe": {"errors", "domain", "files"},  # `wsss check --upgrade` rewrites one
    "images": {"errors", "files", "state", "domain", "recipe"},
    "labels": {"errors", "files", "state", "domain", "recipe"},
    "model": {"errors", "files", "domain", "recipe", "images"},
    "heads": {"errors", "files", "domain", "recipe", "model"},
    "objective": {"errors", "recipe", "model", "heads"},
    "training": {
        "errors", "files", "compute", "processes", "domain", "recipe", "images", "model", "heads", "objective",
    },
    "pseudo_masks": {"errors", "files", "compute", "domain", "recipe", "images", "model", "heads"},
    "segmentation": {
        "errors", "files", "state", "compute", "domain", "recipe", "images", "training", "model", "heads",
        "pseudo_masks",
    },
    "runs.__init__": set(),
    "runs.folder": {"errors", "files", "state"},
    "runs.differences": {"recipe"},
    "runs.rendezvous": {"errors", "files", "compute"},
    "runs.stage_inputs": {
        "__init__", "compute", "state", "domain", "recipe", "images", "labels", "pseudo_masks", "segmentation",
        "runs.folder",
    },
    "runs.trained_run": {"errors", "domain", "recipe", "images", "heads", "pseudo_masks", "runs.folder"},
    "runs.readiness": {
        "errors", "domain", "recipe", "images", "labels", "model", "heads", "segmentation", "evaluation",
    },
    "evaluation": {
        "errors", "domain", "recipe", "images", "labels", "pseudo_masks", "segmentation", "report",
    },
    "report": {"errors", "files", "state", "domain", "recipe", "runs.folder", "model"},
    "scenes": {
        "errors", "files", "compute", "processes", "domain", "recipe", "images", "runs.folder", "runs.trained_run",
        "heads", "pseudo_masks", "segmentation",
    },
    "export": {
        "errors", "files", "domain", "images", "runs.folder", "runs.trained_run", "segmentation", "scenes",
    },
    "explain": {
        "errors", "files", "compute", "domain", "recipe", "images", "labels", "runs.folder", "runs.trained_run",
        "model", "heads", "pseudo_masks", "scenes", "report",
    },
}  # fmt: skip
"""What each room of the core may import; `runs.stages`, `runs.pipeline`, `experiments` and `cli` come after all."""

DOMAINS = {
    "__init__": set(),
    "quiet": set(),
    "class_options": set(),
    "splits": {"pictures", "tables"},
    "tables": {"pictures"},
    "frames": set(),
    "xml_text": set(),
    "geotiff": {"xml_text"},
    "polygons": {"geotiff"},
    "geo_scenes": {"geotiff", "polygons", "class_options", "xml_text"},
    "pictures": {"quiet", "geotiff"},  # rasters are read as GeoTIFF is
    "dicom": {"quiet", "frames"},
    "dicom_seg": {"quiet", "dicom"},
    "remote_sensing": {"geotiff", "geo_scenes", "polygons", "splits", "tables", "class_options"},
    "endoscopy": {"pictures", "frames", "dicom", "dicom_seg", "splits", "tables", "class_options"},
    "natural": {"pictures", "splits", "xml_text"},
    "folder": {"pictures", "geotiff", "splits", "tables", "class_options"},
    "synthetic": {"geo_scenes", "remote_sensing", "synthetic_scenes"},
    "synthetic_scenes": set(),
}
"""What each part of the adapters may import of the others: formats lie below the data sets that use them."""

DATA_SETS = {"remote_sensing", "endoscopy", "natural", "folder", "synthetic"}
"""The parts that are no formats."""

CROSSING = {
    ("synthetic", "remote_sensing"),  # it generates tiles of DFC2020
    ("splits", "endoscopy"), ("tables", "folder"), ("folder", "endoscopy"),  # until the split rule is a format's
}  # fmt: skip
"""Who may import a data set nevertheless."""


def imports(path):
    """Return the dotted names that a file imports, at the top or inside functions; `from a import b` as `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide what is imported"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(path):
    """Return the part of the core that a file belongs to, such as `model` or `labels`."""
    parts = path.relative_to(REPOSITORY / "wsss_toolkit").parts
    return named(tuple(name.removesuffix(".py") for name in parts))


def named(parts):
    """Return the room of a module; modules of `runs` count one by one, because the report lies between them."""
    return ".".join(parts[:2]) if parts[0] == "runs" else parts[0]


def parts_imported(path):
    """Return the parts of the core that a file imports, its own left out."""
    known = {part(file) for file in CORE} - {"__init__"}
    parts = {named(tuple(name.split(".")[1:])) for name in imports(path) if name.startswith("wsss_toolkit.")}
    return (parts & known) - {part(path)}


def ids(path):
    return str(path.relative_to(REPOSITORY))


def attributes(path):
    """Return every name that is read, called or imported in a file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)  # getattr(adapter, "read_mask")
    return names


@pytest.mark.parametrize("path", CORE, ids=ids)
def test_the_core_knows_no_adapter(path):
    assert not [name for name in imports(path) if name.split(".")[0] == "wsss_adapters"]


@pytest.mark.parametrize("path", ADAPTERS, ids=ids)
def test_adapters_know_the_contract_only(path):
    core = {name for name in imports(path) if name.split(".")[0] == "wsss_toolkit"}
    wrong = {name for name in core if name.split(".")[1] not in ("domain", "errors", "files")}
    assert not wrong, "an adapter that knows the training cannot be replaced by a third party's"


@pytest.mark.parametrize("path", ADAPTERS, ids=ids)
def test_domains_share_through_neutral_places(path):
    own = path.relative_to(REPOSITORY / "adapters" / "wsss_adapters").parts[0].removesuffix(".py")
    assert own in DOMAINS, f"give {own} its place among the domains"
    others = {name.split(".")[1] for name in imports(path) if name.startswith("wsss_adapters.")} - {own}
    assert others <= DOMAINS[own]


def test_nobody_imports_a_data_set():
    crossing = {(own, other) for own, others in DOMAINS.items() for other in others & DATA_SETS}
    assert crossing <= CROSSING


@pytest.mark.parametrize("path", CORE, ids=ids)
def test_imports_point_towards_domain_and_errors(path):
    own = part(path)
    if own in ("__init__", "cli"):
        allowed = {part(file) for file in CORE} - {"runs.stages"}
    elif own == "runs.run":  # what programs and notebooks hold: it opens everything below the experiments
        allowed = {part(file) for file in CORE} - {"cli", "experiments"}
    elif own == "experiments":
        allowed = {part(file) for file in CORE} - {"cli"}
    elif own == "runs.pipeline":
        allowed = {part(file) for file in CORE} - {"cli", "experiments"}
    elif own == "runs.stages":
        allowed = {part(file) for file in CORE} - {"cli", "experiments", "runs.pipeline"}
    else:
        assert own in LAYERS, f"give {own} its place among the layers"
        allowed = LAYERS[own]
    assert parts_imported(path) <= allowed


FIELDS_OF_OTHERS = {
    "geotiff", "cog", "crs", "georeference", "georeferenced", "polygon", "polygons", "stac", "geopackage", "gpkg",
    "geojson", "epsg", "gdal", "rasterio", "raster", "qgis", "qml", "vsi",
    "dicom", "seg", "deidentify", "deidentified", "patient", "patients", "highdicom", "pydicom",
}  # fmt: skip
"""Words of formats, which belong to adapters."""


@pytest.mark.parametrize("path", CORE, ids=ids)
def test_the_core_has_no_name_for_formats_of_one_domain(path):
    if path.name in ("onnx_file.py", "pipeline.py"):
        return  # the metadata keys of a plugin of QGIS; versions of libraries in the report
    names = {name for node in ast.walk(ast.parse(path.read_text())) for name in names_of(node)}
    assert not {name for name in names if FIELDS_OF_OTHERS & words(name) or "min_area" in name}


def names_of(node):
    """Yield the names that a node of the syntax tree defines or uses, and texts that could be names."""
    yield from (getattr(node, field, None) or "" for field in ("id", "attr", "arg", "name") if hasattr(node, field))
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
        yield node.value


def words(name):
    """Return the words of a name in snake case or camel case, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", str(name))}


def test_only_evaluation_and_label_derivation_can_reach_ground_truth():
    users = {
        name: {ids(path) for path in CORE if name in attributes(path)}
        for name in ("read_mask", "read_truth", "keys_with_truth", "ground_truth")
    }
    assert users["read_mask"] <= {"wsss_toolkit/labels/ground_truth.py", "wsss_toolkit/domain/contract.py"}
    # The one exception: the supervised rows of `wsss compare`; the test below says who comes there.
    supervised = {"wsss_toolkit/experiments/supervised.py"}
    for name in ("read_truth", "keys_with_truth"):
        assert supervised < users[name]
        users[name] -= supervised
    assert users["read_truth"] == {
        "wsss_toolkit/labels/image_labels.py", "wsss_toolkit/evaluation/stage.py",
        "wsss_toolkit/explain/evaluate_split.py", "wsss_toolkit/runs/readiness.py",
    }  # fmt: skip
    importers = {ids(path) for path in CORE if "wsss_toolkit.explain.evaluate_split.evaluate_split" in imports(path)}
    assert importers == {"wsss_toolkit/cli/explain.py"}, "an evaluation: nothing that makes maps or masks may call it"
    # `wsss check` tries what evaluation will read, before training: masks that cannot be scored are found in time.
    # One method reads; it says whether an image has a mask, and whatever trains or draws can't call it.
    importers = {ids(path) for path in CORE if "wsss_toolkit.runs.readiness" in ".".join([*imports(path)])}
    assert importers == {"wsss_toolkit/cli/check.py"}
    [readiness] = parts_of("runs/readiness.py").values()
    methods = {node.name: node for node in readiness.body if isinstance(node, ast.FunctionDef)}
    assert users_of("read_truth", methods) == {"_has_mask"}
    assert ast.unparse(methods["_has_mask"].returns) == "bool"
    assert users["keys_with_truth"] == {"wsss_toolkit/evaluation/stage.py"}

    # Within the stage: scores and pictures, and nobody else calls the functions that make them.
    evaluation = parts_of("evaluation/stage.py")
    assert users_of("keys_with_truth", evaluation) == {"evaluate_run"}
    assert users_of("read_truth", evaluation) == {"_score", "_preview", "_gallery_images"}
    assert users_of("_gallery_images", evaluation) == {"_gallery"}
    for function in ("_score", "_preview", "_gallery"):
        assert users_of(function, evaluation) == {"evaluate_run"}

    # And only the stage evaluation comes here.
    importers = {ids(path) for path in CORE if "wsss_toolkit.evaluation.stage" in ".".join([*imports(path)])}
    assert importers == {"wsss_toolkit/runs/stages.py"}
    [work] = [node for node in ast.parse((REPOSITORY / "wsss_toolkit" / "runs" / "stages.py").read_text()).body
              if isinstance(node, ast.ClassDef)]  # fmt: skip
    stages = {method.name: method for method in work.body if isinstance(method, ast.FunctionDef)}
    assert users_of("evaluate_run", stages) == {"evaluation"}
    assert parts_of("runs/stages.py").keys() == {"StageWork"}


def parts_of(file):
    """Return the functions and classes of a module of the core by name."""
    body = ast.parse((REPOSITORY / "wsss_toolkit" / file).read_text()).body
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def users_of(name, functions):
    """Return the functions that speak of a name, itself left out."""

    def names(function):
        for node in ast.walk(function):
            if isinstance(node, ast.Name):
                yield node.id
            elif isinstance(node, ast.Attribute):
                yield node.attr
            elif isinstance(node, ast.ImportFrom):
                yield from (node.module or "").split(".")
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.Constant):
                yield node.value

    return {key for key, function in functions.items() if name in names(function) and key != name}


def test_only_the_supervised_rows_of_compare_train_on_ground_truth():
    speaking = {ids(path) for path in CORE if "run_supervised" in attributes(path)}
    assert speaking == {"wsss_toolkit/experiments/experiment.py"}
    importing = {ids(path) for path in CORE if any("experiments.supervised." in f"{name}." for name in imports(path))}
    assert importing == {"wsss_toolkit/experiments/experiment.py"}
    experiment = ast.parse((REPOSITORY / "wsss_toolkit" / "experiments" / "experiment.py").read_text())
    functions = [node for node in ast.walk(experiment) if isinstance(node, ast.FunctionDef)]
    [caller] = [node for node in functions if "run_supervised" in ast.dump(node)]
    assert caller.name == "carry_out_cell"
    # That function goes there for supervised rows alone, and returns.
    branch = caller.body[1]
    assert ast.unparse(branch.test) == "cell.row.supervised is not None" and isinstance(branch.body[-1], ast.Return)
    assert "run_supervised" not in "".join(ast.dump(node) for node in caller.body[2:])
    # And only the methods of `wsss compare` make such rows.
    making = {
        ids(path)
        for path in CORE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.keyword) and node.arg == "supervised"
    }
    assert making == {"wsss_toolkit/experiments/methods.py"}
    users = {ids(path) for path in CORE if "method_rows" in attributes(path)}
    assert users == {"wsss_toolkit/experiments/compare.py"}


@pytest.mark.parametrize("path", [*CORE, *ADAPTERS], ids=ids)
def test_nothing_unpickles_or_evaluates(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        where = f"{path}:{node.lineno}"
        assert name not in ("eval", "exec", "yaml.load", "yaml.unsafe_load"), where
        if name == "torch.load":
            assert options.get("weights_only") == "True", where
        if name == "np.load":
            assert options.get("allow_pickle", "False") == "False", where


def test_light_modules_load_nothing_heavy():
    code = (
        "import sys\n"
        "import wsss_toolkit, wsss_toolkit.errors, wsss_toolkit.domain, wsss_toolkit.recipe, wsss_toolkit.cli.main\n"
        "import wsss_toolkit.cli.sweep, wsss_toolkit.cli.compare, wsss_toolkit.experiments.experiment\n"
        "import wsss_toolkit.cli.run, wsss_toolkit.cli.check\n"
        "names = [getattr(wsss_toolkit, name) for name in wsss_toolkit.__all__]\n"
        "import wsss_toolkit.labels.image_labels, wsss_toolkit.runs.folder\n"
        "import wsss_adapters.synthetic, wsss_adapters.remote_sensing.dfc2020, wsss_adapters.remote_sensing.sentinel\n"
        "import wsss_adapters.endoscopy.hyperkvasir, wsss_adapters.endoscopy.scenes\n"
        "import wsss_adapters.natural.voc, wsss_adapters.natural.coco, wsss_adapters.natural.ade20k\n"
        "import wsss_adapters.folder.folder, wsss_adapters.pictures.scenes\n"
        "heavy = {'torch', 'timm', 'lightning', 'monai', 'torchgeo', 'rasterio', 'scipy', 'torchmetrics',\n"
        "         'segmentation_models_pytorch', 'safetensors', 'pydicom', 'highdicom', 'PIL', 'pycocotools',\n"
        "         'matplotlib', 'jinja2', 'openpyxl', 'pandas'}\n"
        # Parts of recipes are found by name and loaded when a recipe asks for them.
        "from wsss_toolkit.recipe.parts import find_part, installed_parts\n"
        "found = [find_part(group, kind) for group in ('heads', 'terms', 'map_sources', 'refiners')\n"
        "         for kind in installed_parts(group)]\n"
        "assert len(found) >= 13, found\n"
        "for name in wsss_toolkit.recipe.bundled_recipes():\n"
        "    wsss_toolkit.recipe.open_recipe(wsss_toolkit.recipe.find_recipe(name))\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(f'loaded {sorted(heavy)}' if heavy else 0)\n"
    )
    paths = [str(REPOSITORY), str(REPOSITORY / "adapters"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
