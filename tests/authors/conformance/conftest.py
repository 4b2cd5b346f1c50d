"""Which of the checks of built-in components are left to the slow tests."""

import pytest

TRAINS_ANEW = ("fits_again", "resumes", "takes_sets_in_shards", "opens_in_a_fresh_process")
"""Checks that train a component again, or start a process to open it."""

IN_EVERY_RUN = ("Test_segmenter_unet_0", "Test_generator_mask2lesion_0")
"""Trained components for which they are quick enough; the presets of these, and flow, train in the same loop."""

TRAINED = (
    "Test_segmenter_unet",
    "Test_generator_mask2lesion",
    "Test_generator_flow",
    "Test_segmenter_smp",
    "Test_segmenter_nnunet",
)


def pytest_collection_modifyitems(items):
    for item in items:
        of = item.cls.__name__ if item.cls is not None else ""
        if of.startswith(TRAINED) and of not in IN_EVERY_RUN and any(check in item.name for check in TRAINS_ANEW):
            item.add_marker(pytest.mark.slow)
        if of.endswith("_every_format"):
            item.add_marker(pytest.mark.slow)
