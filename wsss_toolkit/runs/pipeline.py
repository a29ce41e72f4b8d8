"""The stages of a run and their order; the only module that knows it.

Each stage is skipped where the digest of its inputs has not changed: its own sections of the recipe, the content of
files, and the digest of the stage it reads from.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.text import Text

from wsss_toolkit import __version__
from wsss_toolkit.compute import find_launch
from wsss_toolkit.domain import Adapter, Changes, Fingerprint, blamed_on_data, find_adapter
from wsss_toolkit.domain.fingerprint import as_fingerprint, settings
from wsss_toolkit.domain.progress import enter
from wsss_toolkit.errors import UsageError, WsssError, blamed_on, of_the_machine
from wsss_toolkit.files import write_json
from wsss_toolkit.recipe import Recipe, check_against_adapter, recipe_yaml
from wsss_toolkit.recipe.plain_recipe import write_recipe
from wsss_toolkit.report.report import build_report, print_report
from wsss_toolkit.runs.differences import differences
from wsss_toolkit.runs.folder import RECIPE_FILE, REPORT_FILE, RunFolder, StageRecord, alone_in, digest
from wsss_toolkit.runs.rendezvous import Marker, Rendezvous
from wsss_toolkit.runs.stages import StageWork

STAGES = ("labels", "train", "consensus", "pseudo_masks", "segmentation", "evaluation", "export")
"""The stages in order."""

TRAININGS = ("train", "segmentation")
"""The stages that several processes carry out together, where torchrun or SLURM started them."""

MODEL = ("channels", "model", "heads", "objective")
"""The sections of a recipe that say what is trained, beside `train`; a new one belongs here."""

REVISIONS = {
    "labels": 4, "train": 5, "consensus": 2, "pseudo_masks": 4, "segmentation": 3, "evaluation": 3, "export": 2,
}  # fmt: skip
"""Raised when a stage comes to give another result for the same inputs, so that older results are not kept.

A changed default of a recipe key counts as that: inputs hold only values that differ from the defaults.
"""


def run(
    recipe: Recipe,
    *,
    out: Path,
    stages: Sequence[str] | None = None,
    device: str = "auto",
    overwrite: bool = False,
    console: Console | None = None,
) -> Path:
    """Carry out a recipe, as `wsss_toolkit.run` does with the same arguments, and return the path of ``report.json``.

    Tables, warnings and the state of stages go to `console`; None means the terminal's error output.
    """
    chosen = _choose(recipe, stages)
    launch = find_launch()
    rendezvous = Rendezvous(out, launch) if launch.processes > 1 else None
    if rendezvous is not None and launch.rank:
        return _help_to_train(recipe, out, chosen, device, rendezvous)
    with closing(rendezvous) if rendezvous is not None else nullcontext():
        # What no run in the folder has ever finished is missing whatever the data are; they need not be looked at.
        require_whole(recipe, chosen, lambda stage: _has_any(out, stage), out, overwrite=overwrite)
        adapter = prepared_adapter(recipe)
        check_against_adapter(recipe, adapter)
        folder = RunFolder(out, recipe.name)
        with alone_in(folder.path):
            console = console or Console(stderr=True, markup=False)
            pipeline = Pipeline(StageWork(recipe, adapter, folder, device, console), rendezvous)
            require_whole(recipe, chosen, pipeline.has, out, overwrite=overwrite)
            for stage in chosen:
                pipeline.carry_out(stage, overwrite=overwrite)
            return pipeline.write_report()


def prepared_adapter(recipe: Recipe) -> Adapter:
    """Return the adapter of a recipe with its data in place."""
    adapter = find_adapter(recipe.data.adapter)(recipe.data)
    with blamed_on_data(recipe.data.adapter):
        adapter.prepare()
    return adapter


def _help_to_train(recipe: Recipe, out: Path, chosen: Sequence[str], device: str, rendezvous: Rendezvous) -> Path:
    """Take part in the trainings of the first process, which does everything else."""
    for stage in (stage for stage in chosen if stage in TRAININGS):
        if rendezvous.wait(stage) == "kept":
            continue
        folder = RunFolder(out, recipe.name)
        adapter = prepared_adapter(recipe)
        with TemporaryDirectory() as scratch:
            work = StageWork(recipe, adapter, folder, device, Console(quiet=True), Path(scratch))
            do: Callable[[Path, dict[str, Any]], None] = getattr(work, stage)
            do(folder.partial(stage), {})
    return out / REPORT_FILE


def _choose(recipe: Recipe, stages: Sequence[str] | None) -> tuple[str, ...]:
    unknown = [stage for stage in stages or () if stage not in STAGES]
    if unknown:
        raise UsageError(f"unknown stage {unknown[0]!r}", fix=f"stages are {', '.join(STAGES)}")
    absent = absent_stages(recipe)
    if asked := [stage for stage in absent if stage in (stages or ())]:
        raise UsageError(f"the recipe has no {asked[0]} section", fix=f"leave `{asked[0]}` out of --stages")
    return tuple(stage for stage in STAGES if (stages is None or stage in stages) and stage not in absent)


def absent_stages(recipe: Recipe) -> tuple[str, ...]:
    """Return the stages that a recipe leaves out."""
    return tuple(stage for stage in ("consensus", "segmentation") if getattr(recipe, stage) is None)


def needs(recipe: Recipe, stage: str) -> tuple[str, ...]:
    """Return the stages that a stage reads from, those that they read from included."""
    optional = {"evaluation", *absent_stages(recipe)}
    return tuple(earlier for earlier in STAGES[: STAGES.index(stage)] if earlier not in optional)


def require_whole(
    recipe: Recipe, stages: Sequence[str], finished: Callable[[str], bool], where: Path, *, overwrite: bool = False
) -> None:
    """Refuse a list of stages as a whole, before the first is carried out, for the lack of what `finished` denies.

    Raises:
        UsageError: If a stage that is to be done needs one that is neither in the list nor finished.
    """
    for stage in stages:
        lacking = [needed for needed in needs(recipe, stage) if needed not in stages and not finished(needed)]
        if lacking and (overwrite or not finished(stage)):
            what = f"stage {stage} needs {lacking[0]}, which has not finished for this recipe"
            together = ",".join(name for name in STAGES if name in (*lacking, *stages))
            raise UsageError(what, where=str(where), fix=f"run it too: --stages {together}")


def _has_any(out: Path, stage: str) -> bool:
    """Return whether a folder holds a finished stage of this name, of whatever recipe."""
    return any(any(out.glob(pattern)) for pattern in (f"{stage}/stage.json", f"superseded/{stage}-*/stage.json"))


def sections_of(recipe: Recipe, names: Sequence[str]) -> dict[str, Any]:
    """Return what differs from the defaults in some sections of a recipe, as JSON values; see `settings`."""
    found = settings(recipe)
    return {name: found[name] for name in names if name in found}


class Pipeline:
    """Decides which stages have to be done; other processes that take part in trainings wait at the rendezvous."""

    def __init__(self, work: StageWork, rendezvous: Rendezvous | None = None) -> None:
        self.work, self.recipe, self.folder, self.console = work, work.recipe, work.folder, work.console
        self.rendezvous = rendezvous

    @cached_property
    def data(self) -> Fingerprint:
        """What the data are; files that are not known yet by size and time are read for it."""
        with blamed_on_data(self.recipe.data.adapter):
            return as_fingerprint(self.work.adapter.fingerprint())

    def digest(self, stage: str) -> str:
        """Return the digest of everything that a stage's result depends on."""
        return digest(self.inputs(stage))

    def has(self, stage: str) -> bool:
        """Return whether a stage has finished with the inputs of now."""
        return self.folder.find(stage, self.digest(stage)) is not None

    def inputs(self, stage: str) -> dict[str, Any]:
        """Return everything that a stage's result depends on, as JSON values.

        These are `stage` and `revision`; `after`: the digest of the stage that it reads from; `recipe`: what differs
        from the defaults, by section; and of the data `found` and `files`, see `Fingerprint`.
        """
        recipe, before = self.recipe, self._reads_from(stage)
        sections: dict[str, Any] = {}
        inputs: dict[str, Any] = {"stage": stage, "revision": REVISIONS[stage], "recipe": sections}
        if before is not None:
            inputs["after"] = {before: self.digest(before)}
        if stage == "labels":
            from_masks = recipe.labels.source == "mask_coverage"
            sections["data"] = {**self.data.options, **(self.data.truth if from_masks else {})}
            inputs |= {
                "found": self.data.found,
                "files": {**self.data.images, **(self.data.masks if from_masks else {})},
            }
        elif stage == "train":
            sections |= {"seed": recipe.seed, **sections_of(recipe, MODEL)}
        elif stage == "consensus":
            sections["seed"] = recipe.seed
        elif stage == "evaluation":
            inputs["files"] = self.data.masks
            if self.data.truth:
                sections["data"] = self.data.truth
        if (section := getattr(recipe, stage)) is not None:
            sections[stage] = settings(section)
        if stage in ("evaluation", "export") and recipe.segmentation is not None:
            sections["segmentation"] = settings(recipe.segmentation, frozenset({Changes.PREDICTIONS}))
        return inputs

    def _reads_from(self, stage: str) -> str | None:
        """Return the stage whose result a stage begins with; None for the first."""
        if stage in ("evaluation", "export"):
            return "segmentation" if self.recipe.segmentation is not None else "pseudo_masks"
        return None if stage == "labels" else needs(self.recipe, stage)[-1]

    def carry_out(self, stage: str, *, overwrite: bool) -> StageRecord:
        """Do a stage unless its result is there; return what is known of it. `require_whole` comes before it."""
        inputs = self.inputs(stage)
        wanted = digest(inputs)
        if overwrite:
            self.folder.discard_partial(stage)
        elif (record := self.folder.find(stage, wanted)) is not None:
            self.console.print(Text(stage, "bold"), ": unchanged, kept", sep="")
            enter(stage, "kept")
            self._announce(stage, "kept")
            return record
        self.console.print(Text(stage, "bold"), self._why_again(stage, inputs), sep="", soft_wrap=True)
        enter(stage, "started")
        do: Callable[[Path, dict[str, Any]], None] = getattr(self.work, stage)
        try:
            with self.folder.work(stage, wanted, inputs) as (path, result):
                self._announce(stage, "work")
                do(path, result)
        except Exception as error:
            if (known := of_the_machine(error)) is None:
                raise
            what = f"{known.what} in stage {stage}; finished stages are kept"
            raise WsssError(what, where=str(self.folder.path), fix=known.fix) from error
        done = self.folder.record(stage)
        assert done is not None
        self.console.print(Text(stage, "bold"), f": done in {done.seconds:.0f} s", sep="")
        enter(stage, "done")
        return done

    def _why_again(self, stage: str, inputs: Mapping[str, Any]) -> Text:
        """Say what has changed since the stage's result was made; nothing where there is none, or the same again."""
        made = self.folder.record(stage)
        if made is None or made.digest == digest(inputs):
            return Text()
        return Text(f": again, because {differences(self.folder.inputs(stage), inputs, self.recipe)}")

    def _announce(self, stage: str, marker: Marker) -> None:
        if self.rendezvous is not None and stage in TRAININGS:
            self.rendezvous.announce(stage, marker)

    def write_report(self) -> Path:
        """Write ``report.json`` and ``report.html`` from the stages that have finished for this recipe; print figures.

        The recipe goes beside them, so that `wsss pseudolabel` needs nothing but the folder, and paths of this machine
        go into a file of their own.
        """
        from wsss_toolkit.report.page import write_page

        found = {stage: self.folder.find(stage, self.digest(stage)) for stage in _choose(self.recipe, None)}
        records = {stage: record for stage, record in found.items() if record is not None}
        with blamed_on(str(self.folder.path), "a stage.json is damaged: delete the folder of its stage and run again"):
            report = build_report(self.recipe, records, notices=self.work.adapter.notices, versions=versions())
            print_report(report, Console(quiet=True))  # before a file of it is written: it reads what pages read
        write_recipe(self.folder.path / RECIPE_FILE, recipe_yaml(self.recipe))
        write_json(self.folder.path / REPORT_FILE, report)
        print_report(report, self.console)
        write_page(self.folder.path)
        return self.folder.path / REPORT_FILE


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = ("torch", "timm", "lightning", "rasterio", "segmentation-models-pytorch")
    ours = {"wsss-toolkit": __version__, "python": platform.python_version()}
    return ours | {name: version(name) for name in packages}
