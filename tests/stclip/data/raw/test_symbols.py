"""Gene names of all origins come to one spelling, and nothing else does."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from stclip.data.raw.symbols import SymbolMap, harmonised
from stclip.errors import DataError


@pytest.mark.parametrize(
    ("given", "symbol"),
    [
        ("TP53", "TP53"),
        ("tp53", "TP53"),
        (" TP53 ", "TP53"),
        ("GRCh38_TP53", "TP53"),
        ("GRCh38______TP53", "TP53"),
        ("hg19_TP53", "TP53"),
        ("C1orf159", "C1orf159"),
        ("C1ORF159", "C1orf159"),
        ("CXORF40A", "CXorf40A"),
        ("WDFY4.1", "WDFY4"),
        ("C1QTNF9B-AS1.1", "C1QTNF9B-AS1"),
        ("ENSG00000141510.12", "ENSG00000141510"),
        # the number of a clone tells genes apart
        ("AC241377.1", "AC241377.1"),
        ("FO538757.1", "FO538757.1"),
        ("Z98884.1", "Z98884.1"),
        ("RP11-206L10.2", "RP11-206L10.2"),
        ("CTD-2342J14.6", "CTD-2342J14.6"),
        ("XXbac-BPG32J3.20", "XXBAC-BPG32J3.20"),
        ("HLA-A", "HLA-A"),
        ("MT-CO1", "MT-CO1"),
        ("two words", "TWO-WORDS"),
        # probes of imaging platforms
        ("NegControlProbe_00042", None),
        ("NegControlCodeword_0500", None),
        ("BLANK_0006", None),
        ("antisense_PROKR2", None),
        ("UnassignedCodeword_0001", None),
        ("DeprecatedCodeword_0001", None),
        ("", None),
    ],
)
def test_a_human_symbol(given, symbol):
    assert harmonised(given) == symbol


@pytest.mark.parametrize("name", ["mt-Nd1", "H2-K1", "Actb", "1700001C02Rik"])
def test_other_species_keep_their_case(name):
    assert harmonised(name, "Mus musculus") == name


@pytest.mark.parametrize("name", ["NEGR1", "BLNK", "ANTXR1", "NEFL"])
def test_a_gene_that_begins_like_a_control_stays(name):
    assert harmonised(name) == name


def test_columns_of_one_symbol_are_added_up():
    names = ["tp53", "BLANK_1", "TP53", "AC1", "TP53.1"]
    columns = SymbolMap.of(names)
    assert (columns.symbols, columns.controls, columns.merged) == (("AC1", "TP53"), 1, 2)
    counts = csr_matrix(np.array([[1, 9, 2, 3, 4], [0, 9, 0, 5, 0]], np.float32))
    assert columns.merge(counts).toarray().tolist() == [[3, 7], [5, 0]]


def test_a_panel_is_found_among_the_columns():
    columns = SymbolMap.of(["B", "A", "C"])
    assert columns.places(None, "x").tolist() == [0, 1, 2]
    assert columns.places(["C", "A", "Z"], "x").tolist() == [0, 2]


def test_no_gene_in_common_shows_both_sides():
    rule = r"st/S.h5ad: no gene in common with the panel: its 2 genes are such as A, B, the panel's 2 such as Actb, Cd3"
    with pytest.raises(DataError, match=rule):
        SymbolMap.of(["A", "B"]).places(["Cd3", "Actb"], "st/S.h5ad")
