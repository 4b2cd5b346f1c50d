"""Folds: which one tests a group, and which groups it validates on."""

from collections import Counter

import pytest

from augkit.data.folds import choose_validation, deal_folds
from augkit.errors import InputError

SIXTY = [f"patient-{i}" for i in range(60)]


def test_equal_groups_make_equal_folds():
    dealt = deal_folds(SIXTY, 5)
    assert sorted(dealt) == sorted(SIXTY)
    assert Counter(dealt.values()) == dict.fromkeys(range(5), 12)


def test_groups_of_unequal_sizes_make_folds_of_nearly_equal_numbers_of_samples():
    groups = [f"volume-{i}" for i in range(12) for _ in range(1 + i * i)]
    dealt = deal_folds(groups, 4)
    samples = Counter(dealt[group] for group in groups)
    assert max(samples.values()) - min(samples.values()) < 40  # of 518, the largest group having 122


def test_the_order_of_samples_decides_nothing_and_the_names_do():
    assert deal_folds(SIXTY[::-1], 5) == deal_folds(SIXTY, 5)
    other = deal_folds([f"{name}-other" for name in SIXTY], 5)
    assert [other[f"{name}-other"] for name in SIXTY] != [deal_folds(SIXTY, 5)[name] for name in SIXTY]


@pytest.mark.parametrize(("groups", "found"), [(["a", "a", "b"], "2 groups"), (["a", "a"], "1 group")])
def test_fewer_groups_than_folds_are_refused(groups, found):
    with pytest.raises(InputError) as error:
        deal_folds(groups, 3)
    assert str(error.value.problems[0]) == (
        f"folds: found {found} for 3 folds; allowed: at least one group for each, as every fold tests some that it "
        "does not train on. Take fewer folds; without groups, an image is one"
    )


def test_validation_is_a_share_of_the_groups_and_another_one_in_every_fold():
    chosen = [choose_validation(SIXTY, 0.1, fold) for fold in range(5)]
    assert [len(groups) for groups in chosen] == [6] * 5
    assert len({frozenset(groups) for groups in chosen}) == 5


@pytest.mark.parametrize(("share", "groups", "count"), [(0, 9, 0), (0.01, 9, 1), (0.9, 2, 1), (0.5, 1, 0)])
def test_validation_has_a_group_where_there_is_a_share_and_leaves_one_to_train_on(share, groups, count):
    assert len(choose_validation(SIXTY[:groups], share, 0)) == count
