"""report.html: a run on one page that needs nothing else, built from what the run's folder holds."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from wsss_toolkit.errors import DataError, UsageError, blamed_on
from wsss_toolkit.files import write_text
from wsss_toolkit.recipe.plain_recipe import last_name, shareable_yaml
from wsss_toolkit.recipe.yaml_text import compose, read_text
from wsss_toolkit.report import charts
from wsss_toolkit.report.gallery_view import gallery_view
from wsss_toolkit.report.score_files import confusion_file, image_scores_file, read_confusion, read_image_scores
from wsss_toolkit.report.supervision import CLASSES_USED, label_source, network_title, sentences
from wsss_toolkit.report.training_view import training_view
from wsss_toolkit.runs.folder import RECIPE_FILE, REPORT_FILE, is_supervised, read_record, read_report

PAGE_FILE = "report.html"

_TEMPLATES = Path(__file__).with_name("templates")
_STAGES = ("labels", "train", "consensus", "pseudo_masks", "segmentation", "evaluation", "export")
_DAMAGED = "run the recipe again with wsss run"


def write_page(run: Path, out: Path | None = None) -> Path:
    """Build the page of a run and write it in one step; to ``report.html`` in the run's folder if `out` is None.

    Raises:
        UsageError: If the folder holds no run of a recipe.
        DataError: If a file of it is missing or damaged.
    """
    path = out if out is not None else run / PAGE_FILE
    write_text(path, build_page(run))
    return path


def build_page(run: Path) -> str:
    """Return the page of a run; the errors are those of `write_page`.

    Only stages that report.json counts to the run are shown, and ground truth is not read again.
    """
    report, recipe = _read_run(run)
    with blamed_on(str(run), "report.json, recipe.yaml or a stage.json is damaged: " + _DAMAGED):
        return _page(run, report, recipe)


def _page(run: Path, report: dict[str, Any], recipe: dict[str, Any]) -> str:
    records = {stage: _record(run, stage, digest) for stage, digest in report["run"]["stages"].items()}
    loader = FileSystemLoader(_TEMPLATES)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    script = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    css = (_TEMPLATES / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    gallery = None
    if "evaluation" in records:
        gallery = gallery_view(run / "evaluation" / "gallery", network_title(recipe))
    view = {
        **_figures(run, report, recipe),
        **training_view(run, recipe, records),
        **_run(report, recipe, records),
        "gallery": gallery,
        "colors": gallery["colors"] if gallery else {},
    }
    return environment.get_template("report.html").render(
        **view, css=Markup(css), script=Markup(script), script_hash=f"sha256-{digest}"
    )


def _read_run(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    if not run.is_dir():
        raise UsageError("no such folder", where=str(run), fix="name the folder of a run, e.g. runs/NAME")
    if not (run / REPORT_FILE).is_file():
        raise UsageError(f"not a run: it lacks {REPORT_FILE}", where=str(run), fix="start it with wsss run")
    report = read_report(run)
    if is_supervised(report):
        raise UsageError(
            "a supervised row of a comparison has no page: it was trained on ground-truth masks",
            where=str(run),
            fix="its figures are in report.json, and in table.md of the comparison",
        )
    recipe = _read_recipe(run / RECIPE_FILE)
    if "stages" not in report["run"]:
        raise UsageError("made by an older version", where=str(run), fix=_DAMAGED)
    return report, recipe


def _read_recipe(path: Path) -> dict[str, Any]:
    """Return the run's recipe as it is, which may be in the words of an older version."""
    if not path.is_file():
        raise UsageError(f"not a run: it lacks {path.name}", where=str(path.parent), fix="start it with wsss run")
    text = read_text(path)
    compose(text, str(path))  # raises: malformed, or nested too deeply
    try:
        recipe = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise DataError(f"is damaged ({' '.join(str(error).split())})", where=str(path), fix=_DAMAGED) from error
    if not isinstance(recipe, dict):
        raise DataError("is damaged (it holds no sections)", where=str(path), fix=_DAMAGED)
    return recipe


def _record(run: Path, stage: str, digest: str) -> dict[str, Any]:
    """Return a stage's ``stage.json``, which must be the one that report.json speaks of."""
    record = read_record(run / stage)
    if record.digest != digest:
        what = f"stage {stage} was done again after the run's last report"
        raise UsageError(what, where=str(run), fix="finish the run with wsss run")
    return asdict(record)


def _figures(run: Path, report: Mapping[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """Scores: the rows of the table, the headline, and the charts."""
    titles = {"pseudo_masks": "pseudo-masks", "segmentation": network_title(recipe)}
    rows: list[dict[str, Any]] = [
        {
            **scores,
            "kind": kind,
            "title": title,
            "split": split,
            "without_background": scores.get("without_background", {}).get("miou"),
        }
        for kind, title in titles.items()
        for split, scores in report[kind].items()
    ]
    last = {row["kind"]: row for row in rows}
    headline = [last[kind] for kind in ("segmentation", "pseudo_masks") if kind in last]
    supervision = report["supervision"]
    view: dict[str, Any] = {
        "rows": rows,
        "headline": headline,
        "evaluated": "evaluation" in report["run"]["stages"],
        "with_background": any("without_background" in scores for kind in titles for scores in report[kind].values()),
        "some_without_truth": any(row["without_truth"] for row in rows),
        "labels_from": label_source(supervision),
        "classes_used": CLASSES_USED[supervision["pseudo_mask_classes"] or "predicted"],
        "classifier": report["classifier"],
        "supervision": sentences(recipe, supervision, bool(rows)),
        "class_names": list(rows[0]["iou"]) if rows else [],
        "bars": None,
        "histogram": None,
        "matrices": [],
    }
    if rows:
        view.update(_score_charts(run / "evaluation", rows, headline))
    return view


def _score_charts(folder: Path, rows: list[dict[str, Any]], headline: list[dict[str, Any]]) -> dict[str, Any]:
    series = [(f"{row['title']}, {row['split']}", row["iou"]) for row in reversed(headline)]
    drawn, note = charts.iou_bars("iou", series)
    found: dict[str, Any] = {"bars": {"drawn": Markup(drawn), "caption": "IoU by class.", "note": note}, "matrices": []}
    for number, row in enumerate(rows):
        title = f"{row['title']}, {row['split']}"
        confusion = read_confusion(confusion_file(folder, row["kind"], row["split"]))
        if not confusion.counts.any():
            continue
        drawn, note = charts.confusion_chart(f"confusion{number}", title, confusion)
        caption = f"Confusion matrix, {title}: percent of the pixels of each true class."
        matrix = {"drawn": Markup(drawn), "caption": caption, "note": note, "first": row is headline[0]}
        found["matrices"].append(matrix)
    first = headline[0]
    listed = read_image_scores(image_scores_file(folder, first["kind"], first["split"]))
    scores = [score.miou for score in listed if score.miou is not None]
    if scores:
        drawn = charts.score_histogram("histogram", f"Images of {first['split']} by mIoU", scores)
        caption = f"{series[-1][0]}: each image's own mIoU, over the classes of its ground truth."
        found["histogram"] = {"drawn": Markup(drawn), "caption": caption}
    return found


def _run(report: Mapping[str, Any], recipe: dict[str, Any], records: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """What was run, and what it took."""
    about, labels = report["run"], report["labels"]
    wanted = [stage for stage in _STAGES if stage not in ("consensus", "segmentation") or recipe.get(stage)]
    missing = [stage.replace("_", "-") for stage in wanted if stage not in records]
    splits = labels.get("splits", {})
    names = list(next(iter(splits.values()))["classes"]) if splits else []
    seconds = {stage: report["seconds"][stage] for stage in records}
    return {
        "name": about["name"],
        "summary": _summary(recipe, splits),
        "notices": about["notices"],
        "missing": missing
        and f"These stages have not finished for this recipe: {', '.join(missing)}. The page shows what there is.",
        "warnings": [*labels.get("warnings", []), *records.get("train", {}).get("result", {}).get("warnings", [])],
        "label_table": {
            "splits": list(splits),
            "rows": {name: [found["classes"][name] for found in splits.values()] for name in names},
            "images": [found["images"] for found in splits.values()],
        }
        if splits
        else None,
        "stages": [
            {
                "name": stage.replace("_", "-"),
                "time": charts.spelled_time(seconds[stage]),
                "memory": f"{report['peak_memory_mb'][stage]:.0f}",
            }
            for stage in records
        ],
        "times": Markup(charts.stage_times("times", seconds)) if seconds else None,
        "facts": _facts(about, recipe, records),
        "recipe_yaml": shareable_yaml(recipe),
    }


def _summary(recipe: dict[str, Any], splits: Mapping[str, Any]) -> str:
    data = recipe["data"]
    counts = ", ".join(f"{split} {found['images']}" for split, found in splits.items())
    where = f", folder {last_name(data['root'])}" if isinstance(data.get("root"), str) else ""
    images = f"; images: {counts}" if counts else ""
    return f"Weakly supervised segmentation: data from the adapter {data['adapter']}{where}{images}."


def _facts(about: Mapping[str, Any], recipe: dict[str, Any], records: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    model, section, trained = recipe["model"], recipe.get("segmentation"), records.get("train", {}).get("result", {})
    channels = {name: value for name, value in recipe["channels"].items() if isinstance(value, dict)}
    bands = {
        name: value["bands"] if isinstance(value["bands"], str) else ", ".join(value["bands"])
        for name, value in channels.items()
    }
    # Reports of runs that were made when a classifier had one head say so in its section.
    heads = ", ".join(f"{name} ({head['kind']})" for name, head in recipe.get("heads", {}).items()) or model.get("head")
    facts = {
        "recipe": f"{about['name']}, digest {about['recipe_digest'][:12]}",
        "seed": str(about["seed"]),
        "channels": "; ".join(f"{name}: {listed}" for name, listed in bands.items()),
        "classifier": f"{model['backbone']}, {model['image_size']} px, {model['attention']} attention, "
        f"heads: {heads}, starting weights: {last_name(str(model['weights']))}",
    }
    if "parameters" in trained:
        facts["classifier, trained"] = f"{trained['epochs']} epochs, {trained['parameters']:,} parameters"
    if section:
        facts["segmentation network"] = (
            f"{network_title(recipe)}, encoder {section['encoder']}, "
            f"starting weights: {last_name(str(section['weights']))}"
        )
    return facts | {f"{name}, version": str(version) for name, version in about["versions"].items()}
