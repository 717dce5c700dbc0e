"""Gene names of all origins come to one spelling, and nothing else does."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from stclip.data.raw.symbols import SymbolMap, harmonised, panel_symbols
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
        ("GRCh38-TP53", "TP53"),
        ("mm10___Tp53", "TP53"),
        ("b'ACTB'", "ACTB"),
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


def symbols(names, species=None):
    columns = SymbolMap.of(names, species)
    found = {at: columns.symbols[place] for at, place in zip(*columns.assignment.nonzero(), strict=True)}
    return [found.get(at) for at in range(len(names))]


R_NAMES = [
    "NKX2.1",
    "NKX2.2",
    "NKX2.5",
    "HLA.A",
    "MT.CO1",
    "KRTAP5.1",
    "NKX6.1",
    "VIM",
    "VIM.1",
    "RP11.206L10.2",
    "AC241377.1",
]


def test_hyphens_that_r_made_dots_come_back_and_tell_genes_apart():
    assert symbols(R_NAMES) == [
        "NKX2-1", "NKX2-2", "NKX2-5", "HLA-A", "MT-CO1", "KRTAP5-1", "NKX6-1", "VIM", "VIM", "RP11-206L10.2", "AC241377.1",
    ]  # fmt: skip
    assert symbols(["H2.K1", "mt.Nd1", "Actb"], "Mus musculus") == ["H2-K1", "mt-Nd1", "Actb"]


def test_numbers_that_tell_columns_apart_are_no_versions():
    # Nothing says what the dot is.
    assert symbols(["NKX2.1", "NKX2.5", "TP53"]) == [
        "NKX2.1",
        "NKX2.5",
        "TP53",
    ]
    assert symbols(["HLA-A", "NKX2.1", "NKX2.5"]) == ["HLA-A", "NKX2.1", "NKX2.5"]
    assert symbols(["HLA-A", "WDFY4.1"]) == ["HLA-A", "WDFY4"]  # a second column whose first is not there
    assert symbols(["WDFY4", "WDFY4.1"]) == ["WDFY4", "WDFY4"]
    assert symbols(["ENSG00000141510.12", "ENSG00000141510.13"]) == ["ENSG00000141510"] * 2


@pytest.mark.parametrize(
    "name",
    [
        "7157",
        "7157.0",
        "1-Mar",
        "2-Sep",
        "Mar-01",
        "2021-03-01",
        "nan",
        "V12",
        "X3",
        "b''",
        " ",
        "\x1b[31mA",
        "A\u202eB",
    ],
)
def test_what_names_no_gene_is_no_column(name):
    columns = SymbolMap.of(["TP53", name])
    assert (columns.symbols, columns.others) == (("TP53",), (name,))


def test_columns_that_were_joined_are_kept_by_name():
    assert SymbolMap.of(["VIM", "VIM.1", "b'VIM'", "TP53"]).joined == {"VIM": ["VIM", "VIM.1", "b'VIM'"]}


def test_two_species_without_prefixes_are_not_added_up():
    human = ["TP53", "EGFR", "KRT19", "VIM", "CDH1", "C1orf159"]
    rule = "S.h5ad: 5 genes are there in two spellings such as TP53 and Tp53, as genes of two species are"
    with pytest.raises(DataError, match=rule):
        SymbolMap.of([*human, *(name.title() for name in human[:5]), "C1ORF159"], None, "S.h5ad")
    assert len(SymbolMap.of([*human, "Tp53", "C1ORF159"]).symbols) == 6  # one name in another case is a slip


def test_a_panel_names_genes_with_and_without_a_version():
    assert panel_symbols(["gene01.2", "NKX2-1", "BLANK_1", "12"], None) == ("GENE01", "GENE01.2", "NKX2-1")


def test_a_panel_is_found_among_the_columns():
    columns = SymbolMap.of(["B", "A", "C"])
    assert columns.places(None, "x").tolist() == [0, 1, 2]
    assert columns.places(["C", "A", "Z"], "x").tolist() == [0, 2]


def test_no_gene_in_common_shows_both_sides():
    rule = r"st/S.h5ad: no gene in common with the panel: its 2 genes are such as A, B, the panel's 2 such as Actb, Cd3"
    with pytest.raises(DataError, match=rule):
        SymbolMap.of(["A", "B"]).places(["Cd3", "Actb"], "st/S.h5ad")
