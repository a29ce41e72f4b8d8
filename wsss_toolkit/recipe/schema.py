"""The whole recipe as data: one frozen model per stage, unknown keys refused.

The descriptions below are the recipe reference: `wsss schema` prints them, and docs/recipe.md is made of them. What a
key changes stands beside it where that is not everything, see `Changes`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, field_validator, model_validator

from wsss_toolkit.domain import AdapterOptions, Changes
from wsss_toolkit.recipe.numbers import (
    Batch,
    Block,
    Count,
    Megabytes,
    NotNegative,
    Positive,
    Processes,
    Share,
    Side,
    Spread,
    Value,
    Zoom,
)
from wsss_toolkit.recipe.parts import Group, Part, Section, named_parts, one_part, unpack

NamedPart = Annotated[SerializeAsAny[Part], BeforeValidator(unpack)]

PartName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]

Heads = Annotated[dict[PartName, NamedPart], BeforeValidator(named_parts("heads")), Field(min_length=1)]
Objective = Annotated[dict[PartName, NamedPart], BeforeValidator(named_parts("terms")), Field(min_length=1)]


def _parts(group: Group, **options: Mapping[str, object]) -> dict[str, Part]:
    """Return parts by name, for defaults."""
    made = {name: one_part(group, values, name) for name, values in options.items()}
    return {name: part for name, part in made.items() if isinstance(part, Part)}


DEFAULT_SOURCE = "attention"
Source = Annotated[SerializeAsAny[Part], BeforeValidator(lambda value: one_part("map_sources", value, DEFAULT_SOURCE))]
Refiners = Annotated[dict[PartName, NamedPart], BeforeValidator(named_parts("refiners"))]


class Statistics(Section):
    """Channel statistics written into the recipe, one number per selected band."""

    mean: tuple[Value, ...] | None = None
    """Means of the bands in the sensor's units (`scale: zscore`)."""
    std: tuple[Spread, ...] | None = None
    """Standard deviations in the sensor's units (`scale: zscore`)."""
    min: tuple[Value, ...] | None = None
    """Values that become 0 (`scale: minmax`)."""
    max: tuple[Value, ...] | None = None
    """Values that become 1 (`scale: minmax`)."""


class SensorChannels(Section):
    """Which bands of a sensor the model sees, and how their values are scaled."""

    bands: Literal["all"] | tuple[str, ...] = "all"
    """Band names in the order of the input channels, or `all`."""
    scale: Literal["reflectance", "decibel", "zscore", "minmax", "imagenet", "symmetric"]
    """`reflectance`: clip 0..10000, divide by 10000. `decibel`: clip -25..0 dB, divide by 25, add 1. `zscore`:
    clip at the training images' 0.1 % and 99.9 %, subtract the mean, divide by the standard deviation. `minmax`: map
    min..max to 0..1. `imagenet`: 8-bit RGB with ImageNet's mean and standard deviation. `symmetric`: 8-bit RGB to
    -1..1, as many of timm's weights were trained; `wsss check` warns where those of `model.weights: timm` were trained
    otherwise."""
    statistics: Literal["measured"] | Statistics = "measured"
    """For `zscore` and `minmax`: measured on the training split, or given here."""

    @model_validator(mode="after")
    def _statistics_fit_scale(self) -> "SensorChannels":
        if self.statistics == "measured":
            return self
        names = {"zscore": ("mean", "std"), "minmax": ("min", "max")}.get(self.scale)
        if names is None:
            raise ValueError(f"scale {self.scale} takes no statistics; remove them or use zscore or minmax")
        given = [getattr(self.statistics, name) for name in names]
        extra = [name for name, values in self.statistics if name not in names and values is not None]
        if None in given or extra:
            raise ValueError(f"scale {self.scale} takes the statistics {names[0]} and {names[1]} and no others")
        lengths = {len(values) for values in given}
        if self.bands != "all":
            lengths.add(len(self.bands))
        if len(lengths) > 1:
            raise ValueError(f"{names[0]}, {names[1]} and bands differ in length")
        if self.scale == "minmax" and any(low >= high for low, high in zip(*given, strict=True)):
            raise ValueError("min must be below max for every band")
        return self


class Channels(BaseModel):
    """The input channels by sensor: each further key is the name of a sensor of the adapter."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, SensorChannels]

    fusion: Literal["early", "per_sensor"] = "early"
    """`early`: all bands stacked into one patch embedding. `per_sensor`: one patch embedding per sensor,
    averaged over those present, so that a sensor may be missing."""
    sensor_dropout: Share = 0.0
    """With `per_sensor`: the probability that a training image loses one of its sensors."""

    @property
    def sensors(self) -> dict[str, SensorChannels]:
        """The selected sensors in the order of the recipe."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _sensors_make_sense(self) -> "Channels":
        if not self.sensors:
            raise ValueError("no sensor is selected; add one, e.g. `sentinel2: {bands: all, scale: reflectance}`")
        if self.sensor_dropout and (self.fusion != "per_sensor" or len(self.sensors) < 2):
            raise ValueError("sensor_dropout needs `fusion: per_sensor` and at least two sensors")
        return self


class Labels(Section):
    """Where image-level labels come from."""

    source: Literal["mask_coverage", "tag_file", "dataset"] = "mask_coverage"
    """`mask_coverage`: classes that cover enough of a ground-truth mask, read once. `tag_file`: a CSV or JSON
    file. `dataset`: the data set's own labels, such as its class folders or annotations."""
    min_coverage: Share = 0.10
    """Smallest share of an image's labelled pixels that makes a class present (`mask_coverage`)."""
    tag_file: Annotated[str | None, Changes.CONTENT] = None
    """A table (CSV, TSV, or XLSX with the extra `excel`) with the columns `image` and `classes` (names separated by
    `;`), or JSON `{image: [class, ...]}`."""
    image_column: str | None = None
    """The column of the table that names the image; null looks for a usual name, such as `image` or `file`."""
    classes_column: str | None = None
    """The column of the table that names the classes; null looks for a usual name, such as `classes` or `label`."""

    @model_validator(mode="after")
    def _tag_file_goes_with_source(self) -> "Labels":
        if (self.source == "tag_file") != (self.tag_file is not None):
            raise ValueError("`source: tag_file` and `tag_file: PATH` belong together")
        if self.tag_file is None and (self.image_column is not None or self.classes_column is not None):
            raise ValueError("image_column and classes_column are columns of tag_file")
        return self


class ClassTokens(Section):
    """How the class tokens enter the transformer."""

    enter_at: Block = 0
    """The block before which class tokens join the sequence; 0 is the paper's."""
    noise_std: NotNegative = 0.02
    """Standard deviation of the noise that makes the initial class tokens differ."""
    shared: bool = False
    """One class token for all classes, as in a plain Vision Transformer: for comparisons."""


class Gates(Section):
    """Hard Concrete gates on attention heads (Louizos et al., 2017)."""

    enabled: bool = True
    """Whether heads are gated at all."""
    log_alpha: Annotated[float, Field(ge=-100.0, le=100.0)] = 2.0
    """Initial location of the gates: 2 is almost open, 0 undecided."""
    lr: Positive = 0.02
    """Learning rate of the gates alone; with the model's own rate they hardly move."""
    prune: bool = True
    """Whether heads whose gate ends at 0 are cut out of the saved model."""


class Model(Section):
    """The Vision Transformer with one token per class."""

    backbone: str = "vit_base_patch16_224"
    """Name of a timm `VisionTransformer`."""
    weights: Annotated[str, Changes.CONTENT] = "none"
    """`none`, `timm` (timm's default checkpoint), `torchgeo:ENUM.MEMBER`, or the path of a .safetensors or .pth
    file."""
    image_size: Side = 224
    """Side of the square training images in pixels."""
    patch_size: Side | None = None
    """Side of a patch in pixels; the backbone's own if absent."""
    depth: Annotated[Block, Field(ge=1)] | None = None
    """Use only the first so many blocks of the backbone."""
    fit: Literal["resize", "crop"] = "resize"
    """`resize`: images are resized to image_size. `crop`: training takes random crops; afterwards images are seen at
    full size, whole or by windows of the crops' size (pseudo_masks.window)."""
    registers: Annotated[int, Field(ge=0, le=256)] = 1
    """Register tokens: extra tokens without a class. With class_tokens.enter_at > 0 the checkpoint's own [CLS]
    is the first."""
    attention: Literal["joint", "asymmetric"] = "joint"
    """`joint`: every token reads every token. `asymmetric`: a class token reads patches, registers and itself,
    and nobody reads it."""
    token_masking: Share = 0.5
    """Probability that the output token of an absent class is zeroed in training."""
    class_tokens: ClassTokens = ClassTokens()
    gates: Gates = Gates()

    @property
    def crop(self) -> int | None:
        """Side in pixels of random training crops; None where images are resized."""
        return self.image_size if self.fit == "crop" else None

    @property
    def resize(self) -> int | None:
        """Side in pixels of the square that images are resized to; None where they are cropped."""
        return self.image_size if self.fit == "resize" else None


class Augment(Section):
    """Random changes of training images."""

    horizontal_flip: bool = True
    """Mirror left and right with probability 0.5."""
    vertical_flip: bool = False
    """Mirror top and bottom with probability 0.5."""
    rotate90: bool = False
    """Rotate by a random multiple of 90 degrees."""
    color_jitter: Share = 0.0
    """Strength of random brightness and contrast changes; for pictures."""
    domain: bool = True
    """Also make the adapter's own random changes, where its `data` section asks for any."""


class Train(Section):
    """How the classifier is trained."""

    epochs: Count = 30
    """Passes over the training split."""
    batch_size: Batch = 32
    """Images per step and device."""
    lr: Positive = 1.0e-4
    """Peak learning rate of AdamW."""
    head_lr_factor: Positive = 1.0
    """Factor on the learning rate of class tokens, head and patch classifier; where a pretrained backbone learns
    slowly, these have more to learn."""
    weight_decay: NotNegative = 0.05
    """Weight decay of matrices; biases, norms, tokens and gates have none."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Factor on the learning rate per block from the top down; 1 treats all blocks alike."""
    warmup_epochs: NotNegative = 1.0
    """Epochs of linear warm-up before the cosine decay."""
    clip_norm: NotNegative = 1.0
    """Largest gradient norm; 0 clips nothing."""
    freeze_below: Block = 0
    """Blocks below this one, with the patch embedding, stay as loaded; their outputs are computed once and cached."""
    patience: Count | None = None
    """Stop after so many epochs without a better validation mAP."""
    checkpoint: Literal["best", "last"] = "best"
    """Which epoch's weights make the pseudo-masks: the `best` by validation mAP (the labels', no masks), or the
    `last`."""
    augment: Augment = Augment()
    mosaics: Annotated[float, Field(ge=0.0, le=1000.0)] = 0.0
    """Mosaics added to the training images, as a multiple of their number: two images that show one class each, cut
    together along a smooth random shape; for domains without a background."""


class Threshold(Section):
    """How a class map is made binary, for `assign: paint` and `background: threshold`."""

    method: Literal["mean", "otsu", "quantile", "fixed"] = "mean"
    """`mean`: the map's own mean. `otsu`: Otsu's. `quantile`, `fixed`: `value` is the quantile, or the level of
    the map scaled to 0..1."""
    value: Share | None = None
    """The quantile or level."""

    @model_validator(mode="after")
    def _value_goes_with_method(self) -> "Threshold":
        if (self.method in ("quantile", "fixed")) != (self.value is not None):
            raise ValueError("`value` is needed for `quantile` and `fixed`, and for these only")
        return self


class Residual(Section):
    """The background's score, for `background: residual`.

    Class maps are scaled to 0..1 before, per image and class, so that they can be compared with it; `normalize` and
    `threshold` are not read then.
    """

    method: Literal["power", "level"] = "power"
    """`power`: (1 - m)^`value`, where m is the largest of the class maps. `level`: `value` everywhere."""
    value: Positive = 1.0
    """The exponent, larger for less background: a class wins from m = 0.5 on with 1, from 0.38 with 2, 0.28 with 4,
    0.19 with 8, 0.12 with 16. Or the level, at most 1."""
    peak: Annotated[float, Field(gt=0.0, le=1.0)] | None = 0.99
    """Quantile of a class map that counts as 1; its smallest value counts as 0. With 1.0 the largest value does, which
    a single patch of very high attention decides. null leaves maps as they are, as `consensus` wants it."""

    @model_validator(mode="after")
    def _level_is_a_share(self) -> "Residual":
        if self.method == "level" and self.value > 1:
            raise ValueError(f"`level` compares with maps in 0..1, so `value` is at most 1, not {self.value:g}")
        return self


class Consensus(Section):
    """One small head on patch tokens, fitted to the sure patches (seeds) of all training images at once.

    It draws the masks instead of the classifier: `pseudo_masks` then makes masks of its probabilities. For objects
    before a background.
    """

    tokens: Literal["frozen", "trained"] = "frozen"
    """Tokens of the backbone as model.weights has it, or of the trained classifier."""
    blocks: Annotated[tuple[Annotated[int, Field(ge=-1000, le=1000)], ...], Field(min_length=1, max_length=100)] = (
        -4,
        -1,
    )
    """Blocks whose patch tokens are read, by index; negative ones count from the last."""
    resolution: Side = 384
    """Images are looked at in their own proportions, as large as a square of so many pixels."""
    seeds: Annotated[
        SerializeAsAny[Part], BeforeValidator(lambda value: one_part("map_sources", value, "contrast"))
    ] = Field(default_factory=lambda: _parts("map_sources", contrast={})["contrast"])
    """Where the evidence for foreground comes from: a map source by its `kind`, as in pseudo_masks.source."""
    area: tuple[Share, Share] = (0.04, 0.2)
    """Smallest and largest share of an image that its classes usually cover together: the best patches up to the
    smallest are seeds of the foreground, those beyond the largest of the background.
    """
    head: Literal["conv", "linear"] = "conv"
    """`linear` sees each patch alone, `conv` its neighbours too."""

    @property
    def own_seeds(self) -> bool:
        """Whether the evidence is the contrast of classifiers that the stage fits itself."""
        return self.seeds.kind == "contrast" and getattr(self.seeds, "head", None) is None

    @model_validator(mode="after")
    def _area_is_a_range(self) -> "Consensus":
        if not 0 < self.area[0] < self.area[1] < 1:
            raise ValueError("area is the smallest and the largest share, in this order, between 0 and 1")
        return self


class PseudoMasks(Section):
    """How class maps become masks."""

    splits: tuple[str, ...] = ("train", "val")
    """Splits whose pseudo-masks are written."""
    classes: Literal["predicted", "labels", "training_labels"] = "predicted"
    """Classes that may appear in a mask: those predicted (probability >= 0.5, and the best one if none), the
    image-level labels, or these in the split train alone and those predicted elsewhere (`training_labels`)."""
    source: Source = Field(default_factory=lambda: _parts("map_sources", **{DEFAULT_SOURCE: {}})[DEFAULT_SOURCE])
    """Where class maps come from: a map source by its `kind`."""
    assign: Literal["paint", "argmax"] = "argmax"
    """`paint`: binary maps painted from the lowest to the highest logit (the paper's). `argmax`: the largest
    map, after `normalize`."""
    normalize: Literal["mean", "max", "none"] = "mean"
    """What each map of an image is divided by before maps are compared: its `mean` gives all classes the same say, its
    `max` the same peak; `none` compares the maps as they are, where they have one scale, as the patch classifier's
    do."""
    threshold: Threshold = Threshold()
    fill: Literal["majority", "nearest", "none"] = "majority"
    """What becomes of pixels that no class claimed: the most common neighbour, the nearest labelled pixel, or
    255."""
    background: Literal["none", "threshold", "residual"] = "none"
    """`none`: every pixel gets a class. `threshold`: pixels in no binary map become the domain's background
    class. `residual`: those where what the class maps leave over is more than any of them. Nothing is filled then."""
    residual: Residual = Residual()
    flips: bool = False
    """Average the maps of the image and its mirror image."""
    scales: Annotated[tuple[Zoom, ...], Field(min_length=1, max_length=16)] = (1.0,)
    """Average the maps of the image at these sizes."""
    window: Literal["none", "auto"] | Side = "none"
    """How the classifier sees images that are larger than its training images, at each of the sizes. `none`: whole,
    in one pass. `auto`: by sliding windows as large as the training images (model.image_size), blended. A number: by
    windows of so many pixels. Masks have the image's own size in any case."""
    window_overlap: Annotated[float, Field(ge=0.0, le=0.9)] = 0.5
    """Share of a window that it has in common with the next."""
    refine: Refiners = Field(default_factory=dict)
    """What happens to the maps then, in this order: refiners by name."""
    ignore_below: Share = 0.0
    """Pixels whose confidence is lower become 255."""
    confidence: bool = False
    """Write a confidence layer beside each pseudo-mask."""

    def of_split(self, split: str) -> "PseudoMasks":
        """Return the section for images of one split, whose `classes` are ``predicted`` or ``labels``."""
        if self.classes != "training_labels":
            return self
        return self.model_copy(update={"classes": "labels" if split == "train" else "predicted"})


class SegmentationAugment(Augment):
    """Random changes of the segmentation network's training images, and of their masks where they move pixels."""

    scale: tuple[Zoom, Zoom] = (1.0, 1.0)
    """Smallest and largest factor of a random zoom. Larger images are seen through a window at a random place; what
    lies around smaller ones is ignored."""
    channel_jitter: Share = 0.0
    """Strength of random brightness and contrast changes of each channel on its own."""
    mosaic: Share = 0.0
    """Share of the images whose mask is one class throughout that are cut together with one of another class, along a
    smooth random shape; for domains without a background."""
    cutmix: Share = 0.0
    """Share of the images that get a random rectangle of another image of the batch, with its mask."""
    erase: Share = 0.0
    """Share of the images that lose a random rectangle, which becomes their mean and is ignored."""

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> "SegmentationAugment":
        if self.scale[0] > self.scale[1]:
            raise ValueError("scale is the smallest and the largest factor, in this order")
        return self


class SelfTraining(Section):
    """Further rounds, in which the segmentation network learns from its own masks of the training images.

    They show only classes that `pseudo_masks.classes` allows in the image.
    """

    rounds: Annotated[int, Field(ge=0, le=100)] = 0
    """How often the network labels the training images anew and is trained on that; 0 leaves it out."""
    ignore_below: Share = 0.5
    """Pixels whose class has a lower probability become 255."""
    start: Literal["scratch", "previous"] = "scratch"
    """What a round begins with: the weights that the first began with, or those that the round before ended with."""


class ClassifierEncoder(Section):
    """The run's trained classifier as the encoder of the segmentation network (`encoder: classifier`)."""

    blocks: Annotated[Block, Field(ge=1)] | Annotated[tuple[Block, ...], Field(min_length=1, max_length=100)] = 4
    """Blocks whose patch tokens the decoder reads: so many, evenly spaced and the last among them, or a list of
    block indices."""
    decoder: Literal["borders", "head"] = "borders"
    """`borders` also reads the image itself, for where things end; `head` is a small head on the tokens alone, for
    images that `input_scale` enlarges, and trains much faster."""
    learning_rate: NotNegative = 0.0
    """Peak learning rate of the classifier's blocks; 0 keeps them frozen. Blocks below train.freeze_below stay
    frozen anyhow."""
    width: Annotated[int, Field(ge=1, le=8192)] = 64
    """Channels of the decoder."""
    patch_scores: bool = False
    """Add the scores of the classifier's head `patch` to the decoder's, which then start at zero: training begins with
    the classifier's masks."""


class Segmentation(Section):
    """The network that is trained on pseudo-masks only."""

    architecture: Literal["unet", "unetplusplus", "fpn", "deeplabv3plus"] = "unet"
    """Architecture in segmentation-models-pytorch."""
    encoder: str = "resnet34"
    """Encoder in segmentation-models-pytorch; or `classifier`: the run's trained classifier, with a decoder of our
    own (`architecture: unet`, `weights: none`)."""
    classifier: ClassifierEncoder = ClassifierEncoder()
    input_scale: Annotated[int, Field(ge=1, le=16)] = 1
    """With `encoder: classifier`, how many times larger the classifier sees the images: 2 gives four times as many
    patches, and the time that they take."""
    weights: Annotated[str, Changes.CONTENT] = "none"
    """`none`, `imagenet`, or the path of a .safetensors or .pth file for the encoder."""
    epochs: Count = 30
    """Passes over the training split."""
    batch_size: Batch = 16
    """Images per step."""
    lr: Positive = 1.0e-3
    """Peak learning rate of AdamW."""
    weight_decay: NotNegative = 0.01
    """Weight decay."""
    image_size: Side | None = None
    """Side in pixels of the square to which images are resized for the network; its scores are brought back to
    the image's size. Absent: images keep their size."""
    crop_size: Side | None = None
    """Side of random training crops in pixels; whole images if absent, which must then share one size or be resized
    to image_size."""
    dice_weight: NotNegative = 1.0
    """Weight of the Dice loss beside cross-entropy."""
    class_balance: Share = 0.0
    """How much more rare classes count in cross-entropy: pixels weigh one over their class's share of the training
    masks to this power. 0 weighs pixels alike, 1 classes."""
    self_training: SelfTraining = SelfTraining()
    refine: Annotated[Refiners, Changes.PREDICTIONS] = Field(default_factory=dict)
    """Refinement of the scores of the trained network, wherever it predicts masks; training never sees it."""
    augment: SegmentationAugment = SegmentationAugment()

    @model_validator(mode="after")
    def _whole_or_cropped(self) -> "Segmentation":
        if self.image_size is not None and self.crop_size is not None:
            raise ValueError("image_size resizes whole images and crop_size cuts them at their own scale; give one")
        return self


class Evaluation(Section):
    """Which figures are computed against ground truth."""

    pseudo_masks: tuple[str, ...] = ("train", "val")
    """Splits on which pseudo-masks are scored; they must be in pseudo_masks.splits."""
    segmentation: tuple[str, ...] = ("val", "test")
    """Splits on which the segmentation network is scored."""


class Export(Section):
    """The masks that leave the run, in the adapter's own format: GeoTIFF for satellites."""

    splits: tuple[str, ...] = ("test",)
    """Splits whose whole images are written."""
    confidence: bool = False
    """Write a confidence layer beside each mask."""


class Machine(Section):
    """How the machine is used."""

    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """`auto` trains in bf16 on GPUs that have it, in 16 bits on other GPUs and in 32 on CPUs. Where a segmentation
    network only predicts, it takes bf16 also on CPUs with AMX or AVX512-BF16, and else 32."""
    devices: Literal["auto"] | Annotated[Processes, Field(ge=1)] = "auto"
    """Processes that train (GPUs, or CPU processes); `auto` takes all GPUs, or one CPU process."""
    workers: Processes = 0
    """Data-loading processes."""
    cache: Literal["memory", "disk"] = "memory"
    """Where the outputs of frozen blocks are kept, and of a frozen classifier as the encoder. With `disk`, the tokens
    of `consensus` stay in the user's cache folder for later stages and runs, about 1 MB an image."""
    images_in_memory_mb: Megabytes = 1024
    """Scaled images and pseudo-masks are kept in memory, in each data-loading process, until they fill so much; later
    ones are read from their files in every epoch. So are tokens for `encoder: classifier`, if those of a split take no
    more than this; with `cache: disk` they always are."""


class Recipe(Section):
    """One file that says everything about a run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """Name of the run's folder."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """The one seed behind every random choice."""
    data: SerializeAsAny[AdapterOptions]
    """Where the images come from: `adapter` and that adapter's options, such as the folder `root`."""
    channels: Channels
    labels: Labels = Labels()
    model: Model = Model()
    heads: Heads = Field(default_factory=lambda: _parts("heads", **{"class": {"kind": "per_token"}}))
    """What reads the model's tokens, by name: each gives a score for every class. `class` says what an image shows."""
    objective: Objective = Field(default_factory=lambda: _parts("terms", presence={}, open_gates={}))
    """The loss of the classifier, a sum of terms by name."""
    train: Train | None = Train()
    """How the classifier is trained; null trains none: the backbone stays as model.weights has it, for `consensus`."""
    consensus: Consensus | None = None
    """A head on patch tokens that draws the masks; null leaves it out: the classifier draws them."""
    pseudo_masks: PseudoMasks = PseudoMasks()
    segmentation: Segmentation | None = Segmentation()
    """The refinement network; null leaves it out."""
    evaluation: Evaluation = Evaluation()
    export: Export = Export()
    machine: Annotated[Machine, Changes.NOTHING] = Machine()

    @property
    def training(self) -> Train:
        """`train`, or where nothing is trained its defaults: images come in batches nevertheless."""
        return self.train or Train()

    @field_validator("data", mode="before")
    @classmethod
    def _data_was_validated_by_its_adapter(cls, value: object) -> object:
        if not isinstance(value, AdapterOptions):
            raise ValueError("the data section must be validated by its adapter first; use recipe.load")
        return value
