"""A recipe that goes the whole way in seconds, and ways to run it: in this process, or as `wsss run` in another."""

import copy
import hashlib
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]

SECTIONS = {
    "name": "tiny",
    "seed": 3,
    "data": {"adapter": "synthetic", "tiles": {"train": 8, "val": 4, "test": 4}, "size": 32},
    "channels": {
        "sentinel1": {"bands": "all", "scale": "zscore"},
        "sentinel2": {"bands": ["B02", "B03", "B04", "B08"], "scale": "zscore"},
        "fusion": "early",
    },
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
    "pseudo_masks": {"source": {"kind": "fused", "layers": "last"}},
    "segmentation": {"encoder": "resnet18", "epochs": 1, "batch_size": 4},
}


def sections(data_root, **changes):
    """Return the recipe as plain values; `train__epochs=3` changes one value, `segmentation=None` a section."""
    values = copy.deepcopy(SECTIONS)
    values["data"]["root"] = str(data_root)
    for path, value in changes.items():
        *parents, last = path.split("__")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return values


def write_recipe(path, data_root, **changes):
    """Write the changed recipe as YAML."""
    path.write_text(yaml.safe_dump(sections(data_root, **changes), sort_keys=False))
    return path


def declared_points():
    """Return the entry points of pyproject.toml: adapters and the parts of recipes."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    groups = project["entry-points"].items()
    return [EntryPoint(name, value, group) for group, declared in groups for name, value in declared.items()]


def declared_adapters():
    """Return the adapters among them."""
    return [point for point in declared_points() if point.group == "wsss.adapters"]


def child_environment(entry_points):
    """Return the environment of a child process that finds our adapters whether or not the package is installed.

    Args:
        entry_points: An empty folder, which gets a stand-in for the package's metadata.
    """
    info = entry_points / "wsss_adapters_for_tests-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wsss-adapters-for-tests\nVersion: 0\n")
    groups: dict[str, list[str]] = {}
    for point in declared_points():
        groups.setdefault(point.group, [f"[{point.group}]"]).append(f"{point.name} = {point.value}")
    (info / "entry_points.txt").write_text("\n".join(line for lines in groups.values() for line in lines) + "\n")
    paths = [str(REPOSITORY), str(REPOSITORY / "adapters"), str(entry_points)]
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, known] if known else paths), "OMP_NUM_THREADS": "1"}


def start(arguments, folder):
    """Start `wsss` with the arguments in a process of its own session, output kept in ``wsss.log`` of `folder`."""
    log = (folder / "wsss.log").open("ab")
    with log:
        return subprocess.Popen(
            [sys.executable, "-c", "from wsss_toolkit.cli import main; main()", *map(str, arguments)],
            cwd=folder,
            env=child_environment(folder / "entry_points"),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def contents(folder):
    """Return the digest of every file below a folder by its path, leaving out times and logs."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "stage.json"
    }
