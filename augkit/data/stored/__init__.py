"""What the folders of artifacts hold: one reader and one writer for each file that stages leave to each other."""

from augkit.data.stored.evaluations import Evaluation, read_evaluation, write_evaluation
from augkit.data.stored.image_sets import (
    SPLITS,
    Names,
    images_file,
    read_excluded,
    read_format,
    read_image_set,
    read_names,
    read_remarks,
    read_spacing,
    read_splits,
    write_excluded,
    write_format,
    write_image_set,
    write_remarks,
    write_samples,
    write_splits,
)
from augkit.data.stored.masks import read_drawn_masks, read_training_masks, write_drawn_masks
from augkit.data.stored.quality import Quality, read_quality, write_quality
from augkit.data.stored.shards import PLACES, read_places, read_shards, write_shards
from augkit.data.stored.trainings import (
    read_health,
    read_history,
    read_training_facts,
    write_history,
    write_training_facts,
)

__all__ = [
    "PLACES",
    "SPLITS",
    "Evaluation",
    "Names",
    "Quality",
    "images_file",
    "read_drawn_masks",
    "read_evaluation",
    "read_excluded",
    "read_format",
    "read_health",
    "read_history",
    "read_image_set",
    "read_names",
    "read_places",
    "read_quality",
    "read_remarks",
    "read_shards",
    "read_spacing",
    "read_splits",
    "read_training_facts",
    "read_training_masks",
    "write_drawn_masks",
    "write_evaluation",
    "write_excluded",
    "write_format",
    "write_history",
    "write_image_set",
    "write_quality",
    "write_remarks",
    "write_samples",
    "write_shards",
    "write_splits",
    "write_training_facts",
]
