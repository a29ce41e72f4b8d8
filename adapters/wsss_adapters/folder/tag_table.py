"""The table of tags of a folder: what its rows say of pictures, and in which splits these are."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from wsss_adapters.folder.options import FolderOptions
from wsss_adapters.folder.picture_files import Picture
from wsss_adapters.splits.rule import FolderSplitRule
from wsss_adapters.tables.image_table import ImageTable
from wsss_adapters.tables.tagged_pictures import rows_by_picture
from wsss_toolkit.domain.cells import is_missing
from wsss_toolkit.domain.split_words import split_of
from wsss_toolkit.domain.tags import Tags, read_tag_rows, split_column
from wsss_toolkit.errors import DataError

FEW = 0.1
"""Share of pictures with several rows up to which these are probably slips, not a table with a row for each class."""


class TagTable:
    """Reads `data.tags` once; nothing is read before it is asked for, and without `tags` there is nothing to read."""

    def __init__(self, options: FolderOptions) -> None:
        self.options = options
        self.path = None if options.tags is None else options.root / options.tags
        self.joined_rows = 0
        self._pictures = 0

    @cached_property
    def _tables(self) -> dict[str, tuple[Path, list[Tags]]]:
        """The rows by the split of whose pictures they speak, "" for all."""
        if self.path is None:
            return {}
        folders = self.options.splits.folders if "{split}" in str(self.options.tags) else None
        columns = self.options.image_column, self.options.classes_column
        known = [entry.name for entry in self.options.classes or ()]
        found = {}
        for split, folder in (folders or {"": ""}).items():
            path = Path(str(self.path).replace("{split}", folder))
            found[split] = path, read_tag_rows(path, "data.tags", known, columns)
        return found

    @property
    def rows(self) -> list[Tags]:
        """All rows."""
        return [row for _, rows in self._tables.values() for row in rows]

    @cached_property
    def split_column(self) -> tuple[str, dict[str, list[str]]] | None:
        """The column that says in which split a picture is, and its words; see `wsss_toolkit.domain.tags`."""
        return split_column(self.rows)

    @cached_property
    def split_rule(self) -> FolderSplitRule:
        """The recipe's rule; where it says nothing of splits and a column of the tags does, that column."""
        options, said = self.options, self.split_column
        if "splits" in options.model_fields_set or said is None or not said[1]:
            return options.splits
        folds = {split: tuple(words) for split, words in said[1].items()}
        return FolderSplitRule(file=options.tags, split_column=said[0], folds=folds)

    def by_picture(self, pictures: Iterable[Picture]) -> dict[str, Tags]:
        """Return what the rows say of each picture, by what messages call it; `pictures` are all there are."""
        rule, said, listed = self.split_rule, self.split_column, list(pictures)
        wanted = (rule.group_by, rule.split_column, said[0] if said and said[1] else None)
        same = [column for column in wanted if column is not None]
        found: dict[str, Tags] = {}
        self.joined_rows = 0
        for split, (path, rows) in self._tables.items():
            paths = {picture.name: picture.path for picture in listed if not split or picture.split == split}
            tags, joined = rows_by_picture(rows, paths, path, self.options.root, same)
            found |= tags
            self.joined_rows += joined
        self._pictures = len(found)
        return found

    def splits(self, tags: Mapping[str, Tags]) -> dict[str, str] | None:
        """Return the split of pictures by key where the rule follows a column of the tags, else None.

        Raises:
            DataError: If a picture's row names no split.
        """
        rule, said = self.split_rule, self.split_column
        column = rule.split_column or (said[0] if said else None)
        if rule.file is None or rule.file != self.options.tags or column is None:
            return None
        named = {fold: split for split, folds in (rule.folds or {}).items() for fold in folds}
        found = {}
        if not any(column in row.cells for row in tags.values()):
            return None
        for key, row in tags.items():
            word = row.cells.get(column, "")
            if is_missing(word):
                raise DataError("the row names no split", where=row.where, fix="complete it or remove it")
            if rule.folds is None or word in named:
                found[key] = named.get(word) or split_of(word) or word
        return found

    def columns(self, tags: Mapping[str, Tags]) -> ImageTable:
        """Return the table that `splits.group_by` names a column of, by the pictures' keys."""
        if self.path is None:
            raise DataError("data.splits.group_by names a column of data.tags", where=str(self.options.root))
        rows = {key: row.cells for key, row in tags.items()}
        return ImageTable(self.path, tuple(next(iter(rows.values()), {})), rows)

    @property
    def notices(self) -> tuple[str, ...]:
        """What was decided about rows, once they were read; it reads nothing itself."""
        said = vars(self).get("split_column")
        found = []
        if said and "split_rule" in vars(self) and self.split_rule.split_column != said[0]:
            found.append(unused_column(said, self.path))
        if 0 < self.joined_rows <= FEW * self._pictures:
            number = "1 picture has" if self.joined_rows == 1 else f"{self.joined_rows} pictures have"
            found.append(f"{number} several rows with different classes in {_name(self.path)}: these are joined.")
        return tuple(found)


def unused_column(said: tuple[str, Iterable[str]], path: Path | None) -> str:
    """Return the sentence that splits do not follow a column that says them; it comes with its words by split."""
    column, words = said
    folds = "" if words else ", folds: {train: [...], val: [...], test: [...]}"
    keys = f"data.splits: {{file: {_name(path)}, split_column: {column}{folds}}}"
    return f"Splits are not those of the column {column!r} of the tags; {keys} takes these."


def _name(path: Path | None) -> str:
    return "the tags" if path is None else path.name
