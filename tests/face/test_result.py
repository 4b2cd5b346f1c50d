import csv
import re

import numpy as np
import pytest

import augkit
from augkit.errors import InputError
from augkit.report.tables import table_rows


def test_scores_are_one_row_per_arm_seed_and_image_as_in_the_report(result):
    rows = result.scores
    assert len(rows) == 2 * 2 * 6
    with (result.folder / "per_image.csv").open(newline="") as stream:
        written = list(csv.DictReader(stream))
    for row, other in zip(rows, written, strict=True):
        assert (row["arm"], row["seed"], row["image_id"]) == (other["arm"], int(other["seed"]), other["image_id"])
        assert row["dice"] == float(other["dice"])


def test_the_table_is_that_of_the_report(result):
    assert result.table == table_rows(result.recorded.arms)
    assert result.table[0][:2] == ["arm", "Dice"]
    assert [row[0] for row in result.table[1:]] == ["classic", "both"]


def test_verdicts_have_a_word_a_sentence_and_their_numbers(result):
    (verdict,) = result.verdicts
    assert (verdict.contrast, verdict.word) == ("both vs classic", "no verdict")
    assert verdict.sentence.startswith("both vs classic: no verdict. 2 trainings per arm are too few")
    assert np.allclose(verdict.facts["difference_by_seed"], [_gain(result, seed) for seed in (0, 1)])


def _gain(result, seed):
    dice = {
        arm: [r["dice"] for r in result.scores if (r["arm"], r["seed"]) == (arm, seed)] for arm in ("classic", "both")
    }
    return np.mean(dice["both"]) - np.mean(dice["classic"])


def test_a_result_prints_the_table_the_sentences_and_the_report(result):
    text = repr(result)
    assert text.startswith("Do synthetic images (")
    assert f"\n{result.answer}\n" in text
    assert "\nMean ± standard error over the test images\narm" in text
    assert result.verdicts[0].sentence in text
    assert text.endswith(f"Report: {result.report}")


def test_a_notebook_shows_table_verdict_and_pictures_and_needs_no_other_file(result):
    html = result._repr_html_()
    assert result.verdicts[0].sentence in html
    assert result.table[1][1] in html
    shown = re.findall(r'<img src="data:image/webp;base64,[^"]{100,}" alt="([^"]+)"', html)
    assert {"Synthetic images", "The lowest differences of the first seed", "Distribution of the scores"} <= set(shown)
    assert "<script" not in html
    assert "<style" not in html


def test_a_result_can_be_made_from_the_folder_of_an_older_report(result):
    assert augkit.Result(result.folder).scores == result.scores
    assert augkit.Result(str(result.folder)).scores == result.scores


def test_a_folder_without_a_report_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no report; allowed: a recipe, the folder of a report"):
        augkit.Result(tmp_path)
