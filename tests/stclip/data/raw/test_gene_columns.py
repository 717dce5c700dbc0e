"""Which columns are genes, how they are called, and that counts of two genomes are never added up."""

import pytest

from stclip.data.raw.gene_columns import gene_columns
from stclip.errors import DataError

SYMBOLS = ["TP53", "EGFR", "KRT19", "VIM", "CDH1"]
NUMBERS = ["0", "1", "2", "3", "4"]
IDS = [f"ENSG{number:011d}" for number in range(5)]
MOUSE = [f"ENSMUSG{number:011d}" for number in range(5)]


def names(candidates, kinds=None, genomes=None, genome=None):
    found = gene_columns(candidates, kinds, genomes, genome, "st/S.h5ad")
    return dict(zip(found.places.tolist(), found.names, strict=True))


def numbered(found):
    return dict(enumerate(found))


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ({"var_names": SYMBOLS, "gene_ids": IDS}, SYMBOLS),
        ({"var_names": NUMBERS, "features": SYMBOLS}, SYMBOLS),
        ({"var_names": NUMBERS, "_index": SYMBOLS}, SYMBOLS),
        ({"var_names": NUMBERS, "gene_ids": IDS}, IDS),
        ({"var_names": NUMBERS, "features": ["5", "6", "7", "8", "9"], "gene_ids": IDS}, IDS),
        ({"var_names": ["7157", "1956.0", "3880", "7431", "999"], "gene_symbols": SYMBOLS}, SYMBOLS),
        ({"var_names": [f"V{n}" for n in NUMBERS], "gene": SYMBOLS}, SYMBOLS),
        ({"var_names": IDS, "feature_name": SYMBOLS}, SYMBOLS),
        ({"var_names": IDS, "feature_name": [*SYMBOLS[:3], "nan", ""]}, [*SYMBOLS[:3], *IDS[3:]]),
        ({"var_names": IDS}, IDS),
        ({"var_names": [f"b'{name}'" for name in SYMBOLS]}, SYMBOLS),
        ({"var_names": [f'b"{name}"' for name in SYMBOLS]}, SYMBOLS),
        (
            {"var_names": ["TP53", "1-Mar", "KRT19", "VIM", "CDH1"], "gene_ids": IDS},
            ["TP53", IDS[1], *SYMBOLS[2:]],
        ),
        ({"var_names": [f"GRCh38_{name}" for name in SYMBOLS]}, SYMBOLS),
        ({"var_names": [f"GRCh38-{name}" for name in SYMBOLS]}, SYMBOLS),
        ({"var_names": [f"mm10___{name}" for name in SYMBOLS]}, SYMBOLS),
    ],
    ids=str,
)
def test_names_are_taken_from_where_they_stand(candidates, expected):
    assert names(candidates) == numbered(expected)


@pytest.mark.parametrize(
    "given", [NUMBERS, ["1-Mar", "2-Sep", "nan", "", "43160"], ["V1", "V2", "V3", "V4", "V5"]]
)
def test_names_that_are_no_genes_are_refused(given):
    with pytest.raises(
        DataError, match=r"st/S.h5ad: its columns are not named by genes \(var_names: .*; write gene symbols"
    ):
        names({"var_names": given})


XENOGRAFT = [*(f"GRCh38_{name}" for name in SYMBOLS[:3]), *(f"mm10___{name.title()}" for name in SYMBOLS[:2])]
TWO = [
    ({"var_names": XENOGRAFT}, None, "GRCh38", "mm10"),
    ({"var_names": [name.replace("___", "-") for name in XENOGRAFT]}, None, "GRCh38", "mm10"),
    ({"var_names": XENOGRAFT}, ["GRCh38_and_mm10"] * 5, "GRCh38", "mm10"),  # a prefix says more
    ({"name": ["TP53", "EGFR", "KRT19", "Tp53", "Egfr"]}, ["hg19"] * 3 + ["mm10"] * 2, "hg19", "mm10"),
    ({"name": ["TP53", "EGFR", "KRT19", "Tp53", "Egfr"], "id": IDS[:3] + MOUSE[:2]}, None, "ENSG", "ENSMUSG"),
]


@pytest.mark.parametrize(("candidates", "genomes", "human", "mouse"), TWO)
def test_two_genomes_are_an_error_until_one_is_chosen(candidates, genomes, human, mouse):
    rule = rf"holds genes of 2 genomes, {human} \(3 columns\) and {mouse} \(2 columns\).* choose one, as in --genome {human}"
    with pytest.raises(DataError, match=rule):
        names(candidates, genomes=genomes)
    assert names(candidates, genomes=genomes, genome=human) == numbered(SYMBOLS[:3])
    assert names(candidates, genomes=genomes, genome=mouse) == {3: "Tp53", 4: "Egfr"}
    with pytest.raises(DataError, match="unknown genome 'mm9'"):
        names(candidates, genomes=genomes, genome="mm9")


def test_a_gene_with_a_genome_and_without_one():
    with pytest.raises(
        DataError, match=r"1 gene such as TP53 stand there both with the genome GRCh38 and without one"
    ):
        names({"var_names": ["GRCh38_TP53", "GRCh38_EGFR", "TP53"]})


def test_a_genome_of_ones_own_is_taken_off_its_names():
    assert names({"name": ["lab_TP53", "lab_EGFR"]}, genomes=["lab", "lab"]) == numbered(["TP53", "EGFR"])


def test_only_gene_expression_is_taken():
    kinds = ["Gene Expression", "Antibody Capture", "Gene Expression", "Custom", "Gene Expression"]
    assert names({"name": SYMBOLS}, kinds) == {0: "TP53", 2: "KRT19", 4: "CDH1"}
    rule = r"has no feature of the type 'Gene Expression', its features are 'Custom' \(5\); give a matrix of gene expression"
    with pytest.raises(DataError, match=rule):
        names({"name": SYMBOLS}, ["Custom"] * 5)
