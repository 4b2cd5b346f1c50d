"""docs/augmentation.md names what there is."""

from dataclasses import fields
from pathlib import Path

from augkit.contracts.registry import load_registry

PAGE = Path(__file__).parents[1] / "docs" / "augmentation.md"


def test_the_documentation_has_a_row_for_every_augmentation_with_its_options():
    rows = {line.split("`")[1]: line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:3] == "| `"}
    entries = load_registry().entries
    own = {
        name
        for (kind, name), entry in entries.items()
        if kind == "augmentation" and entry.cls.__module__.startswith("augkit_")
    }
    assert set(rows) == own
    for name in own - {"classical-paper", "classical-paste", "classical-strong"}:
        for field in fields(entries["augmentation", name].cls):
            assert not field.init or f"`{field.name}" in rows[name], f"{name}.{field.name} is not documented"
