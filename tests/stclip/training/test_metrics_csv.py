"""metrics.csv of a run that goes on: epochs that are trained again are taken out, whatever the file holds."""

import pytest

from stclip.training.metrics_csv import keep_epochs


@pytest.mark.parametrize("odd", ["\u00b2", "\u0661", "1" * 5000, "-1", "nan", ""])
def test_rows_of_no_epoch_are_left_out(tmp_path, odd):
    path = tmp_path / "metrics.csv"
    path.write_text(f"epoch,loss\n0,1.5\n{odd},2\n1,1.0\n2,0.5\n")
    keep_epochs(path, 2)
    assert path.read_text().split() == ["epoch,loss", "0,1.5", "1,1.0"]
