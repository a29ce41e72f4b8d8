"""Which column of the tags tells that pictures belong together: a patient, a video, a site."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from wsss_adapters.folder.picture_index import PictureIndex
from wsss_adapters.splits.divide import same_id
from wsss_toolkit.errors import DataError


def _plain(text: str) -> str:
    """Return a text without accents, case, blanks and marks."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return re.sub(r"[^\w#]+|_", "", plain).casefold()


KINDS: Final = tuple(
    tuple(_plain(word) for word in words.split())
    for words in (
        "patient patienten pat paciente paziente pasient pacjent pacient potilas hasta mrn pid пациент пациента "
        "пацієнт ασθενής مريض المريض מטופל रोगी 患者 病人 환자 ผู้ป่วย",
        "subject subj sujet sujeto soggetto proband person participant teilnehmer individual animal specimen sample",
        "case cas caso fallid fallnr fallnummer случай 症例 病例 사례",
        "study series session exam examination examen esame untersuchung procedure исследование 检查 検査 검사",
        "video film movie clip sequence видео فيديو 视频 視頻 影片 動画 ビデオ 동영상 비디오",
        "site center centre zentrum centro centrum hospital hôpital krankenhaus klinik clinic clinique institution "
        "больница 病院 医院 병원",
        "location station place standort lieu lugar luogo место 地点 場所 장소 camera kamera plot field orbit flight "
        "slide wsi scene",
    )
)
"""What such columns are called in some languages; those that matter most come first."""

BESIDE: Final = tuple(
    _plain(word)
    for word in "ids id number num nummer numero número numer no nr n name code key uid of the file instance код номер "
    "αριθμός رقم 番号 编号 編號 号 번호 #".split()
)
"""What stands before or after it: `patient_id`, `Patientennummer`, `N° patient`, `患者番号`."""


def group_column(index: PictureIndex) -> str | None:
    """Return the column of the tags whose values pictures share as those of one patient do; None if there is none."""
    cells = [row.cells for row in index.tags.by_picture(index.pictures.values()).values()]
    found: dict[int, str] = {}
    for column in cells[0] if cells else ():
        place = _place(column)
        values = [same_id(row.get(column, "")) for row in cells]
        if place is not None and 1 < len(set(values)) < len(values):
            found.setdefault(place, column)
    return found[min(found)] if found else None


def grouped(index: PictureIndex, column: str, drawn: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return drawn splits that keep a column's groups together, None where they cannot, and a sentence on it.

    The index is one of pictures whose splits are drawn.
    """
    splits = {**drawn, "group_by": column}
    options = index.options.model_dump() | {"splits": splits}
    try:
        PictureIndex(type(index.options).model_validate(options)).splits  # noqa: B018  whether they can be drawn
    except DataError as error:
        return None, f"images of one {column} are not kept in one split: {error.what}"
    return splits, f"images of one {column}, a column of the tags, stay in one split"


def shared(index: PictureIndex, column: str) -> tuple[str, ...]:
    """Return a sentence on groups whose pictures lie in several splits that were made elsewhere, if there are any."""
    rows = index.tags.by_picture(index.pictures.values())
    where: dict[str, dict[str, str]] = {}
    for split, keys in index.splits.items():
        for key in keys:
            name = index.pictures[key].name
            if name in rows and (value := rows[name].cells.get(column, "")):
                where.setdefault(same_id(value), {}).setdefault(split, value)
    several = [owners for owners in where.values() if len(owners) > 1]
    if not several:
        return ()
    first = several[0]
    example = f"{next(iter(first.values()))} in {' and '.join(first)}"
    return (
        f"{len(several)} of {len(where)} values of {column} lie in several splits, {example}: figures say too much",
    )


def _place(column: str) -> int | None:
    """Return the place among `KINDS` of what a column is called, however it is written."""
    beside = "|".join(map(re.escape, BESIDE))
    for place, words in enumerate(KINDS):
        known = "|".join(map(re.escape, words))
        if re.fullmatch(rf"(?:{beside})*(?:{known})s?(?:{beside})*", _plain(column)):
            return place
    return None
