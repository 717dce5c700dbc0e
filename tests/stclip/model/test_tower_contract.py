"""Every tower of the registry keeps the contract: a line each. (Pretrained ones, `hf:`, need files: see test_pretrained.)"""

from stclip.config.registry import GENE_TOWERS, IMAGE_TOWERS, PREFIX
from tests.stclip.model.tower_contract import (
    features,
    gene_tower_contract,
    image_tower_contract,
    sentences,
    tiles,
)

TestImageCnn = image_tower_contract("cnn", tiles())
TestImageStain = image_tower_contract("stain", features())
TestGeneBag = gene_tower_contract("bag", sentences())


def test_every_tower_has_its_line():
    for kind, registry in (("TestImage", IMAGE_TOWERS), ("TestGene", GENE_TOWERS)):
        tried = {name.removeprefix(kind).lower() for name in globals() if name.startswith(kind)}
        assert tried == registry.keys() - {PREFIX}
