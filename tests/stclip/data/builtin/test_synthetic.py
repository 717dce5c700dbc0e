"""The built-in data sets: bytes, layout, and that a spot shows its state and nothing of its identity."""

import json
from threading import Thread

import numpy as np
import pytest

from stclip.config import DataConfig
from stclip.data.__main__ import main
from stclip.data.builtin import synthetic
from stclip.data.builtin.render import TILE_UM, draw_ellipses, make_style, render_tiles
from stclip.data.builtin.synthetic import (
    SYNTHETIC,
    SyntheticSpec,
    ensure_builtin,
    make_synthetic,
    slide_id,
    slide_spots,
    spec_biology,
    spec_splits,
)
from stclip.data.builtin.tissue import (
    CELL_TYPES,
    TECHNOLOGIES,
    Tissue,
    draw_counts,
    gene_sentences,
    make_biology,
    make_tissue,
    smooth_fields,
)
from stclip.data.shards import read_slide
from stclip.data.shards.splits import read_splits
from stclip.data.store import store_key
from stclip.errors import DataError
from stclip.evaluation.baselines import fit_cca

TINY = SyntheticSpec("tiny", 2, 1, 1, spots=0.15, tile_size=16, genes=60, sentence=12)


@pytest.fixture
def tiny_builtin(monkeypatch):
    monkeypatch.setitem(SYNTHETIC, "tiny", TINY)


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    made = []
    for place, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_synthetic(tmp_path / place / "tiny", SyntheticSpec("tiny", 2, 1, 1, 0.15, 16, 60, 12, seed))
        made.append(files_of(tmp_path / place / "tiny"))
    assert made[0] == made[1]
    assert made[0]["VIS00/VIS00_000000.tar"] != made[2]["VIS00/VIS00_000000.tar"]


def test_a_slide_depends_on_seed_and_number_alone():
    more = SyntheticSpec("more", 9, 3, 3, spots=0.15, tile_size=16, genes=60, sentence=12)
    for a, b in zip(
        slide_spots(TINY, 2, spec_biology(TINY)), slide_spots(more, 2, spec_biology(more)), strict=True
    ):
        assert (a.spot, a.x, a.y, a.sentence) == (b.spot, b.x, b.y, b.sentence)
        np.testing.assert_array_equal(a.tile, b.tile)


def test_it_reads_like_any_other_data_set(tmp_path):
    calls = []
    folder = tmp_path / "tiny"
    make_synthetic(folder, TINY, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert read_splits(folder) == spec_splits(TINY)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["dataset"]["key"] == "tiny" and manifest["synthetic"]["seed"] == 0
    for number in range(TINY.slides):
        expected = list(slide_spots(TINY, number, spec_biology(TINY)))
        found = list(read_slide(folder, slide_id(number), on_bad_spot="error", skipped=[]))
        assert len(found) == manifest["outputs"]["per_sample_spots"][slide_id(number)] == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert (a.spot, a.x, a.y, a.sentence) == (b.spot, b.x, b.y, b.sentence)
            np.testing.assert_array_equal(a.tile, b.tile)


def test_the_medium_data_set_has_the_promised_size():
    spec = SYNTHETIC["synthetic_medium"]
    splits = spec_splits(spec)
    assert [len(splits.train), len(splits.val), len(splits.test)] == [35, 5, 10]
    assert len({*splits.train, *splits.val, *splits.test}) == 50
    for split in (splits.train, splits.val, splits.test):
        assert {slide[:3] for slide in split} == {technology.code for technology in TECHNOLOGIES}
    assert (spec.genes, spec.sentence, spec.tile_size) == (500, 50, 64)
    assert 3500 < 50 * np.mean([technology.spots for technology in TECHNOLOGIES]) < 4500


@pytest.mark.parametrize("technology", TECHNOLOGIES, ids=lambda t: t.code)
def test_spots_keep_their_technology_s_distance(technology):
    rng = np.random.default_rng(0)
    tissue = make_tissue(technology, technology.spots, make_biology(20, rng), rng)
    assert tissue.positions.shape == (technology.spots, 2) and (tissue.positions > 0).all()
    gaps = np.linalg.norm(tissue.positions[:, None] - tissue.positions, axis=2)
    np.fill_diagonal(gaps, np.inf)
    if technology.layout == "jittered":
        assert 0.3 * technology.spacing_um < gaps.min() < technology.spacing_um
    else:
        assert gaps.min() == pytest.approx(technology.spacing_um, rel=1e-6)
        neighbors = (gaps < 1.01 * technology.spacing_um).sum(1).max()
        assert neighbors == {"hex": 6, "square": 4}[technology.layout]
    np.testing.assert_allclose(tissue.composition.sum(1), 1.0)


def test_neighbouring_spots_are_similar_but_not_equal():
    rng = np.random.default_rng(1)
    tissue = make_tissue(TECHNOLOGIES[0], 120, make_biology(20, rng), rng)
    gaps = np.linalg.norm(tissue.positions[:, None] - tissue.positions, axis=2)
    differences = np.abs(tissue.composition[:, None] - tissue.composition).sum(2)
    near = differences[(gaps > 0) & (gaps < 110)]
    assert 0.05 < near.mean() < 0.75 * differences[gaps > 400].mean()
    assert near.min() > 0


def test_smooth_fields_have_unit_variance_and_the_stated_covariance():
    positions = np.array([[0.0, 0.0], [2.0, 0.0], [50.0, 0.0]])
    fields = smooth_fields(positions, 4000, 2.0, np.random.default_rng(0))
    covariance = fields @ fields.T / 4000
    np.testing.assert_allclose(np.diag(covariance), 1.0, atol=0.08)
    assert covariance[0, 1] == pytest.approx(np.exp(-0.5), abs=0.08)
    assert covariance[0, 2] == pytest.approx(0.0, abs=0.08)


def test_sentences_are_ranked_without_zeros():
    counts = np.array([[5, 0, 9, 5, 1], [0, 0, 0, 2, 0]])
    firsts = set()
    for seed in range(20):
        top, short = gene_sentences(counts, 3, np.random.default_rng(seed))
        assert top[0] == 2 and set(top[1:]) == {0, 3} and short.tolist() == [3]
        firsts.add(int(top[1]))
    assert firsts == {0, 3}  # ties in random order


def test_counts_follow_composition():
    rng = np.random.default_rng(0)
    biology = make_biology(200, rng)
    composition = np.full((100, len(CELL_TYPES)), 0.01)
    composition[:50, 0], composition[50:, 1] = 1.0, 1.0
    composition /= composition.sum(1, keepdims=True)
    counts = draw_counts(Tissue(np.zeros((100, 2)), composition, np.zeros((100, 2))), 0, biology, rng)
    assert counts.dtype.kind == "i" and counts.min() >= 0
    expected = np.log(biology.profiles[0] / biology.profiles[1])
    found = np.log((counts[:50].mean(0) + 0.5) / (counts[50:].mean(0) + 0.5))
    assert np.corrcoef(expected, found)[0, 1] > 0.8


def test_ellipses_have_their_area_and_soft_edges():
    tiles, size = 400, 64
    n = np.full(tiles, 8.0)
    drawn = draw_ellipses(
        np.arange(tiles),
        n,
        n / 2,
        np.linspace(0, 3, tiles),
        np.ones(tiles),
        tiles,
        size,
        np.random.default_rng(0),
    )
    whole = drawn[(drawn[:, 0] == 0).all(1) & (drawn[:, -1] == 0).all(1) & (drawn[:, :, 0] == 0).all(1)
                  & (drawn[:, :, -1] == 0).all(1)]  # fmt: skip
    assert len(whole) > 50
    np.testing.assert_allclose(whole.sum((1, 2)), np.pi * 8 * 4 * (size / TILE_UM) ** 2, rtol=0.03)
    assert ((whole > 0.1) & (whole < 0.9)).any((1, 2)).all()
    assert drawn.max() <= 1.0 + 1e-6


def test_tiles_show_composition_and_state():
    rng = np.random.default_rng(0)
    n = 60
    composition = np.full((n, len(CELL_TYPES)), 0.02)
    composition[:20, CELL_TYPES.index("lymphocyte")] = 1.0
    composition[20:40, CELL_TYPES.index("muscle")] = 1.0
    composition[40:, CELL_TYPES.index("fat")] = 1.0
    tissue = Tissue(np.zeros((n, 2)), composition / composition.sum(1, keepdims=True), np.zeros((n, 2)))
    for size in (32, 64):
        tiles = render_tiles(tissue, make_style(np.random.default_rng(1)), size, rng)
        assert tiles.shape == (n, size, size, 3) and tiles.dtype == np.uint8
        brightness = tiles.mean((1, 2))
        assert brightness[40:].mean() > brightness[:40].max()  # fat is empty
        redness = brightness[:, 0] - brightness[:, 2]
        assert redness[20:40].min() > redness[:20].max()  # muscle is pink, lymphocytes are blue


def test_nothing_but_the_state_ties_a_tile_to_its_counts():
    """Spots that all have one state: a model fitted to half of the pairs finds nothing in the other half."""
    rng = np.random.default_rng(0)
    n = 600
    state = make_tissue(TECHNOLOGIES[0], 2, make_biology(100, rng), rng)
    same = Tissue(np.zeros((n, 2)), np.repeat(state.composition[:1], n, 0), np.repeat(state.states[:1], n, 0))
    image = render_tiles(same, make_style(rng), 16, rng).reshape(n, -1).astype(np.float32)
    genes = np.log1p(draw_counts(same, 0, make_biology(100, rng), rng)).astype(np.float32)
    cca = fit_cca(image[: n // 2], genes[: n // 2], 1.0, 4)
    x, y = cca.project_x(image[n // 2 :]), cca.project_y(genes[n // 2 :])
    correlations = [np.corrcoef(x[:, k], y[:, k])[0, 1] for k in range(4)]
    assert np.abs(correlations).max() < 0.2  # 0.06 is one standard error


def test_machines_that_make_it_each_for_itself_agree_on_its_store(tmp_path, tiny_builtin):
    keys = set()
    for place in ("a", "b"):
        data = DataConfig(dataset="tiny", root=tmp_path / place)
        folder = ensure_builtin(data)
        keys.add(store_key(folder, read_splits(folder), data))
    assert len(keys) == 1


def test_ensure_builtin_makes_it_once_and_whole(tmp_path, tiny_builtin, monkeypatch):
    data = DataConfig(dataset="tiny", root=tmp_path)
    calls, make = [], synthetic.make_synthetic
    monkeypatch.setattr(synthetic, "make_synthetic", lambda *a: calls.append(1) or make(*a))
    threads = [Thread(target=ensure_builtin, args=(data,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and ensure_builtin(data) == tmp_path / "tiny"
    assert json.loads((tmp_path / "tiny/manifest.json").read_text())["dataset"]["key"] == "tiny"
    assert {p.name for p in tmp_path.iterdir()} <= {"tiny", ".tiny.lock"}


def test_an_interrupted_making_leaves_no_data_set(tmp_path, tiny_builtin):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure_builtin(DataConfig(dataset="tiny", root=tmp_path), stop)
    assert {p.name for p in tmp_path.iterdir()} <= {".tiny.lock"}
    assert read_splits(ensure_builtin(DataConfig(dataset="tiny", root=tmp_path))) == spec_splits(TINY)


def test_other_data_sets_are_left_to_the_reader(tmp_path):
    assert ensure_builtin(DataConfig(dataset="mine", root=tmp_path)) == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()


def test_another_version_is_refused(tmp_path, tiny_builtin, monkeypatch):
    data = DataConfig(dataset="tiny", root=tmp_path)
    ensure_builtin(data)
    monkeypatch.setattr(synthetic, "VERSION", 99)
    with pytest.raises(
        DataError, match=r"made by version 1 of the generator, this is version 99; delete the folder"
    ):
        ensure_builtin(data)


def test_a_root_that_cannot_be_written(tmp_path, tiny_builtin):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"cannot make the built-in data set: .*choose another place with data\.root"
    ):
        ensure_builtin(DataConfig(dataset="tiny", root=tmp_path / "file"))


def test_command_line(tmp_path, tiny_builtin, capsys):
    assert main(["synthetic", "tiny", "--root", str(tmp_path), "--quiet"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "tiny")
    assert main(["synthetic", "tinny", "--root", str(tmp_path)]) == 2
    assert "unknown built-in data set 'tinny'; did you mean 'tiny'?" in capsys.readouterr().err
    assert not (tmp_path / "tinny").exists()


@pytest.mark.parametrize("arguments", [[], ["synthetic", "--quite"], ["synthetik"]])
def test_command_line_is_strict(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
