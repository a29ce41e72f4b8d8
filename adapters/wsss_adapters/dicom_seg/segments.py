"""What segments are called: codes of terminologies, colours, and the algorithm that made them."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wsss_toolkit.domain import ClassTable, Code
from wsss_toolkit.errors import WsssError

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

PRIVATE_SCHEME = "99WSSS"
"""The coding scheme of classes without a code; names that begin with 99 are private (PS3.16, 8.2)."""

SOURCE = "wsss-toolkit"
"""The algorithm's source in every object of ours."""

MOST_TAGS = 10240
"""Characters that the value representation LT holds."""

CONFIDENCE = Code("CONFIDENCE", PRIVATE_SCHEME, "Confidence of the mask's class")
BACKGROUND = Code("125040", "DCM", "Background")


def long_string(text: str) -> str:
    """Return a text as the value representation LO can hold it: 64 characters, no backslash, no control characters."""
    kept = "".join("/" if letter == "\\" else letter for letter in text if letter.isprintable())
    return kept[:64].strip() or "unnamed"


def class_code(classes: ClassTable, index: int) -> Code:
    """Return the code of a class; where the table has none, the background's, or a private one made of the name."""
    code = classes.codes[index] if classes.codes else None
    if code is not None or index == classes.background:
        return code or BACKGROUND
    name = classes.names[index]
    return Code(f"C{hashlib.sha256(name.encode()).hexdigest()[:12].upper()}", PRIVATE_SCHEME, long_string(name))


def category(code: Code) -> Any:
    """Return the property category (PS3.16, CID 7150) that the standard files a code under.

    SNOMED CT has far more concepts than the standard's lists; those that are in none of them are taken for
    morphologically abnormal structures, because findings are what endoscopists code. Private codes could mean anything:
    they become spatial concepts.
    """
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code as Concept

    kinds = codes.cid7150
    if code.scheme == PRIVATE_SCHEME:
        return kinds.SpatialAndRelationalConcept
    concept = Concept(code.value, code.scheme, code.meaning)
    for members, kind in (
        (codes.cid7194, kinds.MorphologicallyAbnormalStructure),
        (codes.cid7192, kinds.AnatomicalStructure),
        (codes.cid7193, kinds.PhysicalObject),
        (codes.cid7191, kinds.Tissue),
        (codes.cid7197, kinds.BodySubstance),
        (codes.cid7198, kinds.Substance),
        (codes.cid7195, kinds.Function),
        (codes.cid7196, kinds.SpatialAndRelationalConcept),
    ):
        if concept in members:
            return kind
    return kinds.MorphologicallyAbnormalStructure


def algorithm(tags: Mapping[str, str]) -> Any:
    """Return the identification of the algorithm, with the tags as its parameters.

    `AlgorithmParameters` holds a JSON object: values may contain commas, equals signs and any script, and are found
    again exactly.

    Raises:
        WsssError: If the tags are longer than the attribute may be.
    """
    from highdicom import AlgorithmIdentificationSequence
    from pydicom.sr.codedict import codes

    digest = tags.get("wsss_recipe_digest", "")
    parameters = json.dumps(dict(tags), sort_keys=True)
    if len(parameters) > MOST_TAGS:
        raise WsssError(f"{len(parameters)} characters of provenance do not fit into DICOM's {MOST_TAGS}")
    sequence = AlgorithmIdentificationSequence(
        name=long_string(f"{SOURCE} {tags.get('wsss_recipe', '')} {tags.get('wsss_stage', '')}"),
        family=codes.cid7162.ArtificialIntelligence,
        version=long_string(f"{tags.get('wsss_version', '0')} {digest[:32]}"),
        source=SOURCE,
    )
    sequence[0].AlgorithmParameters = parameters
    return sequence


def segment(
    number: int, label: str, code: Code, color: tuple[int, int, int], identification: Any
) -> "SegmentDescription":
    """Describe a segment: its number in the object, from 1, and what it shows, in 8-bit RGB, stored as CIELab."""
    from highdicom import seg
    from highdicom.color import CIELabColor
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code as Concept

    background = codes.DCM.Background
    is_background = code.value == background.value and code.scheme == "DCM"
    return seg.SegmentDescription(
        segment_number=number,
        segment_label=long_string(label),
        segmented_property_category=codes.cid7150.SpatialAndRelationalConcept if is_background else category(code),
        segmented_property_type=Concept(code.value, code.scheme, long_string(code.meaning)),
        algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=identification,
        display_color=CIELabColor.from_rgb(*color),
    )
