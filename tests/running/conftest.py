"""Plans of recipes, in a store that the tests of one file share."""

import pytest

from augkit.planning.plan import make_plan
from augkit.store import Digests, Store
from samples import checked_recipes


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def plan(tmp_path, store):
    def make(*texts, seeds=None, changes=()):
        return make_plan(checked_recipes(tmp_path, *texts, changes=changes), seeds, Digests(store.root))

    return make
