import csv
from io import StringIO

import pytest

from augkit.data.tables import csv_text, read_cell

TEXTS = ["=1+1", "+a", "-a.png", "@SUM(A1)", "'=1", "''@", "-1", "+2.5", "1e-3", "plain", "it's", "'", "\t=1", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_no_text_of_a_table_is_a_formula_and_all_of_it_can_be_read_again(text):
    _, (cell, number) = csv.reader(StringIO(csv_text(("id", "value"), [(text, -0.5)]), newline=""))
    assert number == "-0.5"
    assert read_cell(cell) == text
    assert not cell.startswith(("=", "@", "\t", "\r", "+a", "-a"))
