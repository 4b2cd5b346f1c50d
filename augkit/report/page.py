"""The report of a run: the verdict, Table 1, pictures, densities, cases, curves, costs, and how to get it all again.

`write_report` leaves one HTML page that needs no network and no script, the same numbers for machines (report.json),
every score (per_image.csv), every picture as a file, and the recipes it came from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from augkit.amounts import duration
from augkit.figures import PREDICTION
from augkit.planning.sweep import SweepPoint, swept_recipe
from augkit.report.evidence import ArmEvidence, Evidence, External, Section, check_evidence
from augkit.report.origin import ORIGIN, OfRecipe, origin_text, seeds_of
from augkit.report.paper import write_table_1
from augkit.report.pictures.picture import Picture, slug, write_pictures
from augkit.report.pictures.plots import density, effects_picture, paired_picture
from augkit.report.pictures.samples import (
    CaseGroup,
    Gallery,
    case_columns,
    case_groups,
    case_pair,
    synthetic_sources,
)
from augkit.report.pictures.sweeps import Curve, curves_of, sweep_picture, write_curves
from augkit.report.pictures.trainings import Curves, training_curves
from augkit.report.record import per_image, report_record
from augkit.report.skeleton import template
from augkit.report.summary.study import methods
from augkit.report.summary.synthetic import Said
from augkit.report.tables import (
    Table,
    class_rows,
    condition_rows,
    contrast_rows,
    difference_rows,
    exploratory_rows,
    metric_rows,
    per_arm_rows,
    quantile_rows,
    ranking_rows,
    table_rows,
    table_title,
    unadjusted_rows,
    warning_lines,
)
from augkit.report.verdict.answer import Answer
from augkit.report.verdict.comparison import Comparison, compare, compare_external
from augkit.report.verdict.scores import ArmScores
from augkit.report.words import (
    case_rule,
    class_rule,
    empties_sentence,
    left_out_sentence,
    resolution,
    scope,
    seed_sentence,
)
from augkit.store import explained, write_json, write_text


def write_report(evidence: Evidence, folder: Path) -> None:
    """Write report.html, report.json, origin.json, per_image.csv, figures/, recipes/ and written/ into `folder`.

    Each external set has scores, curves and figures of its own in ``external/NAME``.

    Raises ValueError where the arms were not scored on the images of ``evidence.test``.
    """
    check_evidence(evidence)
    with explained(folder):
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    comparison = compare([arm.scores for arm in evidence.arms], asked=evidence.contrasts)
    swept = curves_of(evidence.sweep)
    external = compare_external({one.name: one.scores for one in evidence.external}, asked=evidence.contrasts)
    parts = {one.name: _external_part(evidence, one, external[one.name]) for one in evidence.external}
    page = _page(evidence, comparison, swept, parts)
    write_pictures(folder, page.pictures())
    write_table_1([arm.scores for arm in evidence.arms], folder)
    for one in evidence.external:
        place = folder / "external" / one.name
        write_pictures(place, parts[one.name].pictures())
        write_table_1(one.scores, place)
        write_text(place / "per_image.csv", per_image(one.scores))
        write_curves(curves_of(evidence.on(one).sweep), place)
    for name, recipe in _recipe_files(evidence).items():
        write_text(folder / "recipes" / name, recipe)
    write_text(folder / ORIGIN, origin_text(evidence.origin, _write_written(evidence, folder)))
    write_text(folder / "per_image.csv", per_image([arm.scores for arm in evidence.arms]))
    write_json(folder / "report.json", report_record(evidence, comparison, external, _command(evidence)))
    write_curves(swept, folder)
    page_text = template("report.html.j2").render(page=page, evidence=evidence, prediction=PREDICTION)
    write_text(folder / "report.html", page_text)


@dataclass(frozen=True)
class Extra:
    """A section that another stage contributed."""

    title: str
    text: tuple[str, ...]
    tables: tuple[tuple[str, Sequence[Sequence[str]]], ...]
    pictures: tuple[Picture, ...]
    words: int
    subject: str
    lead: tuple[Said, ...]
    terms: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Verdicts:
    """The findings of a comparison: (verdict, sentence) of each contrast, remarks, their picture and tables.

    picture is None where no contrast has a value; a table without rows is its header. cautions say what makes scores
    worth little; ranking is a sentence and a table, both empty where arms are not ranked.
    """

    answer: Answer
    sentences: tuple[tuple[str, str], ...]
    remarks: tuple[str, ...]
    cautions: tuple[str, ...]
    ranking: tuple[str, Table]
    picture: Picture | None
    contrasts: Table
    unadjusted: Table
    exploratory: Table
    margin: float


@dataclass(frozen=True)
class Scored:
    """What a page shows of the scores of arms on some images."""

    scored_on: str
    verdicts: Verdicts
    table_title: str
    table: Table
    other_metrics: Table
    classes: Table
    density: Picture
    paired: Picture | None
    quantiles: Table

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture once."""
        yield from (one for one in (self.verdicts.picture, self.density, self.paired) if one is not None)


@dataclass(frozen=True)
class WithCases(Scored):
    """The same with the images themselves at hand."""

    differences: Table
    empties: str
    sweep: Picture | None
    case_rule: str
    case_table: Table
    cases: tuple[CaseGroup, ...]

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture once."""
        yield from super().pictures()
        if self.sweep is not None:
            yield self.sweep
        yield from (group.picture for group in self.cases)


@dataclass(frozen=True)
class ExternalPart(WithCases):
    """What the page shows of one external set."""

    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Page(WithCases):
    """Everything the template prints, ready to print."""

    methods: str
    and_fold: str
    scope: str
    resolution: str
    seed_sentence: str
    warnings: tuple[str, ...]
    class_rule: str
    sources: tuple[Gallery, ...]
    extras: tuple[Extra, ...]
    external: Mapping[str, ExternalPart]
    curves: tuple[Curves, ...]
    composition: Table
    conditions: Table
    costs: Table
    command: str

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture once; those of external sets are their own."""
        yield from super().pictures()
        yield from (source.picture for source in self.sources)
        yield from (picture for extra in self.extras for picture in extra.pictures)
        yield from (curves.picture for curves in self.curves)


def scored(arms: Sequence[ArmScores], comparison: Comparison) -> Scored:
    """Return what a page shows of these scores and their comparison."""
    return Scored(
        scored_on=arms[0].design.scored,
        verdicts=verdicts(comparison),
        table_title=table_title(arms[0]),
        table=table_rows(arms),
        other_metrics=metric_rows(arms),
        classes=class_rows(arms),
        density=density(arms),
        paired=paired_picture(comparison, arms),
        quantiles=quantile_rows(arms),
    )


def _with_cases(evidence: Evidence, comparison: Comparison, swept: Sequence[Curve]) -> WithCases:
    arms = [arm.scores for arm in evidence.arms]
    pair = case_pair(arms, comparison)
    cases = tuple(case_groups(evidence, pair))
    return WithCases(
        **vars(scored(arms, comparison)),
        differences=difference_rows(arms),
        empties=empties_sentence(evidence),
        sweep=sweep_picture(swept),
        case_rule=case_rule(pair),
        case_table=[["group", "image", *case_columns(pair)], *(row for group in cases for row in group.rows)],
        cases=cases,
    )


def _external_part(evidence: Evidence, external: External, comparison: Comparison) -> ExternalPart:
    there = evidence.on(external)
    left_out = left_out_sentence(external.left_out, len(external.test))
    return ExternalPart(
        **vars(_with_cases(there, comparison, curves_of(there.sweep))),
        remarks=(*([left_out] if left_out else []), *external.remarks),
    )


def _page(
    evidence: Evidence, comparison: Comparison, swept: Sequence[Curve], external: Mapping[str, ExternalPart]
) -> Page:
    arms = [arm.scores for arm in evidence.arms]
    names = [arm.arm for arm in arms]
    return Page(
        **vars(_with_cases(evidence, comparison, swept)),
        methods=methods([evidence.study], arms, comparison.margin),
        and_fold=" and fold" if arms[0].design.folds else "",
        scope=scope(arms[0].design),
        resolution=resolution(arms[0].design),
        seed_sentence=seed_sentence(arms),
        warnings=warning_lines({arm.scores.arm: arm.warnings for arm in evidence.arms}),
        class_rule=class_rule(arms[0]),
        sources=synthetic_sources(evidence),
        extras=tuple(_extra(section) for section in evidence.sections),
        external=external,
        curves=training_curves(evidence.arms),
        composition=per_arm_rows(names, [arm.training_images for arm in evidence.arms], str),
        conditions=condition_rows(arms),
        costs=per_arm_rows(names, [_of_kinds(arm.seconds) for arm in evidence.arms], duration),
        command=_command(evidence),
    )


def _of_kinds(seconds: Mapping[str, float]) -> Mapping[str, float]:
    """Return kind of stage, which its title begins with -> seconds of all stages of the kind."""
    kinds: dict[str, float] = {}
    for title, took in seconds.items():
        kind = title.partition(" · ")[0]
        kinds[kind] = kinds.get(kind, 0.0) + took
    return kinds


def verdicts(comparison: Comparison) -> Verdicts:
    """Return what a page shows of a comparison."""
    ranking = comparison.ranking
    return Verdicts(
        comparison.answer,
        tuple((finding.verdict, finding.sentence) for finding in comparison.findings),
        comparison.remarks,
        comparison.cautions,
        ("", []) if ranking is None else (ranking.sentence, ranking_rows(ranking)),
        effects_picture(comparison),
        contrast_rows(comparison),
        unadjusted_rows(comparison),
        exploratory_rows(comparison),
        comparison.margin,
    )


def _extra(section: Section) -> Extra:
    pictures = tuple(Picture(slug(stem), alt, png) for stem, alt, png in section.pictures)
    told = section.subject, section.lead, section.terms
    return Extra(section.title, section.text, section.tables, pictures, section.words, *told)


def _recipe_files(evidence: Evidence) -> Mapping[str, str]:
    """Return file name -> the resolved recipe, in the order of the arms; the points of a curve are one recipe."""
    points = {scores.arm: point for point, scores in evidence.sweep}
    recipes: dict[str, str] = {}
    for arm in evidence.arms:
        point = points.get(arm.scores.arm)
        if point is None:
            recipes[arm.scores.arm] = arm.recipe
        elif point.curve not in recipes:
            of_curve = [one.recipe for one in evidence.arms if _curve(points.get(one.scores.arm)) == point.curve]
            recipes[point.curve] = swept_recipe(of_curve, point)
    return {f"{i}-{slug(name)}.yaml": recipe for i, (name, recipe) in enumerate(recipes.items(), 1)}


def _write_written(evidence: Evidence, folder: Path) -> list[OfRecipe]:
    """Write the recipes as somebody wrote them, and return what there is of each."""
    points = {scores.arm: point for point, scores in evidence.sweep}
    first: dict[str, ArmEvidence] = {}
    for arm in evidence.arms:
        first.setdefault(_curve(points.get(arm.scores.arm)) or arm.scores.arm, arm)
    found = []
    for name, arm in zip(_recipe_files(evidence), first.values(), strict=True):
        if arm.written is not None and arm.written.text:
            write_text(folder / "written" / name, arm.written.text)
            found.append(OfRecipe(f"recipes/{name}", f"written/{name}", arm.written.changes))
        else:
            found.append(OfRecipe(f"recipes/{name}"))
    return found


def _curve(point: SweepPoint | None) -> str | None:
    return None if point is None else point.curve


def _command(evidence: Evidence) -> str:
    files = " ".join(f"recipes/{name}" for name in _recipe_files(evidence))
    seeds = seeds_of([(arm.scores.arm, seed) for arm in evidence.arms for seed in arm.scores.seeds])
    chosen = [] if seeds is None else [f"--seeds {','.join(map(str, seeds))}"]  # None: the recipes have their own
    # What decides bits besides the recipes; another device, precision or number of threads gives other numbers.
    how = [f"--{name} {evidence.provenance[name]}" for name in ("device", "precision", "threads")
           if name in evidence.provenance]  # fmt: skip
    asked = [f"--contrast {':'.join(pair)}" for pair in evidence.contrasts]
    return " ".join([f"augkit run {files}", *chosen, *asked, *how])
