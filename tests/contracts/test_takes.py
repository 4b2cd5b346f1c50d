"""What components say that they take, put together, and what they say against a format."""

from dataclasses import dataclass

import pytest

from augkit import ANYTHING, Channel, Format, Takes
from augkit.contracts.rules import refusal_of

CT = Format("int16", (Channel("ct", "ct", -160, 240),), ("liver", "kidney"))
RGB_ONLY = Takes(ignore=True)


def test_two_components_together_take_what_both_take():
    grey = Takes((1, 3), frozenset({"grey", "red", "green", "blue"}), frozenset({"uint8", "uint16"}), 4, ignore=True)
    both = grey & RGB_ONLY
    assert both == Takes((3,), frozenset({"red", "green", "blue"}), frozenset({"uint8"}), 1, ignore=True)
    assert grey & ANYTHING == grey
    assert ANYTHING & grey == grey
    assert ANYTHING & ANYTHING == ANYTHING
    assert not (grey & Takes()).ignore


@dataclass(frozen=True)
class OfColours:
    """Takes anything but what its own check refuses."""

    takes = ANYTHING

    def check_format(self, format):
        if len(format.channels) != 3:
            raise ValueError(f"found {format}; allowed: colours")


@pytest.mark.parametrize(("format", "said"), [(Format(), ""), (CT, f"found {CT}; allowed: colours")])
def test_a_component_may_refuse_formats_in_words_of_its_own(format, said):
    assert refusal_of(OfColours(), None, format) == said
