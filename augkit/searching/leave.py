"""What a search leaves: ``best.yaml``, ``search.html`` and ``search.json`` in a folder of its own."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from augkit.amounts import duration
from augkit.planning.components import CheckedRecipe
from augkit.report.pictures.picture import Picture, slug
from augkit.report.skeleton import template
from augkit.report.tables import Table
from augkit.searching.chart import Chart, chart_of
from augkit.searching.field import Field
from augkit.searching.scheme import Scheme
from augkit.searching.search import Outcome
from augkit.searching.words import (
    NOT_TRIED,
    advice,
    behind,
    could_see,
    data_sentence,
    last_standings,
    race_sentence,
    settle,
    title_of,
    verdict,
    warnings,
    why_left,
)
from augkit.store import Store, explained, write_json, write_text

_SHOWN = {
    "effects": "The confirmation: each seed, the mean and its 95 % interval.",
    "synthetic": "What it trains on beside real images: masks, and what is painted for them.",
    "cases-highest": "Where the winner gains most",
    "cases-median": "In the middle",
    "cases-lowest": "Where it loses most",
}
"""How the names of those pictures of a report begin that a search's page shows, too, and what they show."""

_COMMENTS = {
    "dataset": "the data, as the search read it",
    "exclude_copies": "images that are copies of test images are not trained on",
    "synthesize": "synthetic images that are trained on beside the real ones",
    "augment": "applied to every training batch",
    "segmenter": "the same in all candidates; train longer or wider once you have chosen",
}


def folder_of(store: Store, field: Field, scheme: Scheme, title: str) -> Path:
    """Return where a search leaves its results: one folder for equal candidates on equal data, whatever the time."""
    facts = json.dumps([[_facts(entry) for entry in field.entries], asdict(scheme)], sort_keys=True)
    return store.root / "search" / f"{slug(title)}-{hashlib.sha256(facts.encode()).hexdigest()[:12]}"


def _facts(entry: CheckedRecipe) -> Any:
    return {key: value for key, value in entry.recipe.document.items() if key != "seed"}


def leave(outcome: Outcome, folder: Path, title: str) -> None:
    """Write the three files of a search."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "best.yaml", best_recipe(outcome))
    write_json(folder / "search.json", record_of(outcome))
    write_text(folder / "search.html", template("search.html.j2").render(page=_page(outcome, title)))


def best_recipe(outcome: Outcome) -> str:
    """Return the recipe to use as YAML with comments: complete, without the folds of the search."""
    document = outcome.best.recipe.document
    lines = [
        f"# {outcome.best.recipe.name}: {outcome.field.why.get(outcome.best.recipe.name, 'best of a search')}",
        "# augkit run best.yaml",
        "#",
        *_comment(advice(outcome)),
        *_comment(verdict(outcome)[1]),
        *_comment(race_sentence(outcome)),
        "# Paths count from the folder in which augkit is called. To score every image once, add 'folds: 5'.",
    ]
    for key, value in document.items():
        if key in _COMMENTS:
            lines.append(f"# {_COMMENTS[key]}")
        lines.append(yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=120).rstrip())
    return "\n".join(lines) + "\n"


def _comment(text: str) -> Iterator[str]:
    line = "#"
    for word in text.split():
        if len(line) + len(word) > 118:
            yield line
            line = "#"
        line += f" {word}"
    yield line


def record_of(outcome: Outcome) -> Mapping[str, Any]:
    """Return everything about a search as plain values for JSON."""
    word, sentence = verdict(outcome)
    return {
        "best": outcome.best.recipe.name,
        "winner": outcome.winner.recipe.name,
        "control": outcome.control.recipe.name if outcome.control else None,
        "verdict": word,
        "sentence": sentence,
        "report": outcome.report.folder.name if outcome.report else None,
        "seeds": list(outcome.seeds),
        "scheme": asdict(outcome.scheme),
        "budget_seconds": outcome.budget,
        "spent_seconds": outcome.spent,
        "ended": outcome.ended,
        "left_out": dict(outcome.field.left_out),
        "candidates": {entry.recipe.name: _facts(entry) for entry in outcome.field.entries},
        "rounds": [
            {
                "fold": one.fold,
                "seed": one.seed,
                "images": list(one.block.images),
                "dice": {name: values.tolist() for name, values in one.block.scores.items()},
                "seconds": dict(one.seconds),
                "standings": [_standing(asdict(standing)) for standing in one.standings],
                "left": dict(one.gone),
                "spent_seconds": one.spent,
            }
            for one in outcome.rounds
        ],
    }


def _standing(facts: dict[str, Any]) -> dict[str, Any]:
    """Return a standing as JSON knows it, which has no infinity."""
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in facts.items()}


@dataclass(frozen=True)
class Page:
    """Everything the template of a search prints."""

    title: str
    advice: str
    verdict: tuple[str, str]
    race: str
    data: str
    could_see: Sequence[str]
    chart: Chart
    table: Table
    pictures: Sequence[Picture]
    report: str
    warnings: Sequence[str]
    not_tried: Sequence[str]
    left_out: Mapping[str, str]
    why: Mapping[str, str]
    best: str


def _page(outcome: Outcome, title: str) -> Page:
    return Page(
        title_of(title),
        advice(outcome),
        verdict(outcome),
        race_sentence(outcome),
        data_sentence(outcome.scheme),
        (*settle(outcome), *could_see(outcome)),
        chart_of(outcome),
        table_of(outcome),
        tuple(_pictures(outcome)),
        f"../../report/{outcome.report.folder.name}/report.html" if outcome.report else "",
        warnings(outcome),
        (NOT_TRIED,),
        outcome.field.left_out,
        {name: why for name, why in outcome.field.why.items() if name in outcome.field.names},
        best_recipe(outcome),
    )


def table_of(outcome: Outcome) -> Table:
    """Return one row per candidate: where it stood when it left, why it did, and what it took."""
    header = ["candidate", "blocks", "mean Dice", "to the leader", "seconds a block", "in all", "left"]
    rows = [header]
    for standing in last_standings(outcome):
        name = standing.candidate
        took = [one.seconds[name] for one in outcome.rounds if name in one.seconds]
        number, why = why_left(outcome, name)
        left = why if why in ("wins", "in until the end") else f"{why}, after block {number}"
        cost = [f"{sum(took) / len(took):.1f}", duration(sum(took))]
        to_leader = "leads" if name == outcome.winner.recipe.name else behind(standing)
        numbers = [str(standing.blocks), f"{standing.mean:.4f}", to_leader]
        rows.append([name, *numbers, *cost, left])
    return rows


def _pictures(outcome: Outcome) -> Iterator[Picture]:
    """Yield pictures of the confirmation's report: effects, the winner's synthetic images, cases."""
    if outcome.report is None:
        return
    for begin, words in _SHOWN.items():
        for file in sorted((outcome.report.folder / "figures").glob(f"{begin}*.png")):
            yield Picture(file.stem, words, file.read_bytes())
