"""The conformance kit for plugin authors: a plugin's test file is an import and a class.

    from augkit.testing import GeneratorContract
    from augkit_mine import MyGenerator

    class TestMyGenerator(GeneratorContract):
        component = MyGenerator(steps=40)

Give options that make it small: it is fitted three times on a few dozen images of 32 x 32 pixels. A rule that the
component breaks for a good reason goes into ``exceptions``, a mapping from the check's name to the reason; it is shown
as an expected failure, and is an error once the check passes. `augkit.authors.conformance` holds the checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from augkit.authors.conformance import KITS, try_check
from augkit.authors.conformance.bench import Bench, Check


class Contract:
    """The checks of one kind, as one test each; a subclass names the `component`.

    component:  an instance of the component, with options that make it small.
    exceptions: check -> why the component may break it.
    seconds:    after which a single call counts as hanging.
    every_format: whether it is tried with every kind of image that it says it takes, and not only with the first.
    """

    kind: ClassVar[str]
    component: ClassVar[Any]
    exceptions: ClassVar[Mapping[str, str]] = {}
    seconds: ClassVar[float] = 240.0
    every_format: ClassVar[bool] = True
    _shared: ClassVar[Bench]

    def test_exceptions_name_checks(self) -> None:
        """A misspelt exception would except nothing."""
        known = [check.__name__ for check in KITS[self.kind].checks]
        unknown = sorted(set(self.exceptions) - set(known))
        assert not unknown, f"exceptions name no check: {', '.join(unknown)}; allowed: {', '.join(known)}"

    def hold(self, check: Check, folders: pytest.TempPathFactory) -> None:
        """Fail, skip or expect the failure of one check."""
        finding = try_check(check, self._bench(folders), self.every_format)
        reason = self.exceptions.get(finding.check)
        if finding.state == "skipped":
            pytest.skip(finding.text)
        if reason is not None and finding.state == "ok":
            pytest.fail(f"'{finding.check}' passes; remove it from the exceptions ({reason})")
        if reason is not None:
            pytest.xfail(f"{reason} ({finding.text})")
        if finding.state == "failed":
            pytest.fail(finding.text, pytrace=False)

    @classmethod
    def _bench(cls, folders: pytest.TempPathFactory) -> Bench:
        """Return the component on toy data, one for all checks of the class."""
        if "_shared" not in vars(cls):
            folder = folders.mktemp(cls.kind.replace(" ", "-"))
            cls._shared = KITS[cls.kind].bench(cls.component, folder, cls.seconds)
        return cls._shared


def _checks(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("check", KITS[kind].checks, ids=lambda check: check.__name__)


class GeneratorContract(Contract):
    """What a generator has to do."""

    kind = "generator"

    @_checks("generator")
    def test_contract(self, check: Check, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Hold the generator to one check."""
        self.hold(check, tmp_path_factory)


class MaskSourceContract(Contract):
    """What a mask source has to do."""

    kind = "mask source"

    @_checks("mask source")
    def test_contract(self, check: Check, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Hold the mask source to one check."""
        self.hold(check, tmp_path_factory)


class AugmentationContract(Contract):
    """What an augmentation has to do."""

    kind = "augmentation"

    @_checks("augmentation")
    def test_contract(self, check: Check, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Hold the augmentation to one check."""
        self.hold(check, tmp_path_factory)


class SegmenterContract(Contract):
    """What a segmenter has to do."""

    kind = "segmenter"

    @_checks("segmenter")
    def test_contract(self, check: Check, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Hold the segmenter to one check."""
        self.hold(check, tmp_path_factory)


class DatasetContract(Contract):
    """What a data set has to do."""

    kind = "dataset"

    @_checks("dataset")
    def test_contract(self, check: Check, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Hold the data set to one check."""
        self.hold(check, tmp_path_factory)


CONTRACT_OF_KIND: Mapping[str, type[Contract]] = {
    contract.kind: contract
    for contract in (GeneratorContract, MaskSourceContract, AugmentationContract, SegmenterContract, DatasetContract)
}
"""Component kind -> its contract class."""
