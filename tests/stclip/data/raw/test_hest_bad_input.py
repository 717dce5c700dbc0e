"""Everything that can be wrong with slides in HEST-1k's layout: named in one line, the others unharmed."""

import re

import h5py
import numpy as np
import pytest

from tests.stclip.data.hest_folders import (
    GENES,
    SIDE,
    slide_of,
    spots_of,
    write_counts,
    write_hest,
    write_patches,
)


def spoil_patches(raw, one):
    with (raw / "patches" / "S1.h5").open("r+b") as file:
        file.truncate(2000)


def spoil_counts(raw, one):
    with (raw / "st" / "S1.h5ad").open("r+b") as file:
        file.truncate(2000)


def cut_tiles(raw, one):
    """All is there but the last tiles' bytes."""
    path = raw / "patches" / "S1.h5"
    with h5py.File(path) as file:
        last = max(
            file["img"].id.get_chunk_info(i).byte_offset for i in range(file["img"].id.get_num_chunks())
        )
    data = bytearray(path.read_bytes())
    data[last : last + 50] = bytes(50)
    path.write_bytes(data)


def rename_barcodes(raw, one):
    one.patch_barcodes = [f"spot{number}" for number in range(30)]
    write_patches(raw / "patches" / "S1.h5", one)


def turn_coordinates(raw, one):
    one.corners = np.round(one.xy - SIDE / 2)
    one.xy = one.xy[:, ::-1].copy()
    write_counts(raw / "st" / "S1.h5ad", one)


def shuffle_coordinates(raw, one):
    one.xy = one.xy[::-1].copy()
    write_counts(raw / "st" / "S1.h5ad", one)


def with_counts(change):
    def spoil(raw, one):
        change(one.counts)
        write_counts(raw / "st" / "S1.h5ad", one)

    return spoil


def lose_coordinates(raw, one):
    one.xy[3, 1] = np.nan
    write_counts(raw / "st" / "S1.h5ad", one)


def shifted_away(raw, one):
    one.xy[:] += 1e300  # by a shift that is the same for all
    write_counts(raw / "st" / "S1.h5ad", one)


def a_group(raw, one):
    with h5py.File(raw / "patches" / "S1.h5", "r+") as file:
        del file["img"]
        file.create_group("img")


def other_layout(raw, one):
    with h5py.File(raw / "patches" / "S1.h5", "r+") as file:
        del file["barcode"]


def other_genes(raw, one):
    one.genes = [f"Gene{number}" for number in range(len(GENES))]
    write_counts(raw / "st" / "S1.h5ad", one)


def put(value):
    return with_counts(lambda counts: counts.__setitem__((3, 2), value))


def no_counts(raw, one):
    (raw / "st" / "S1.h5ad").unlink()


def no_patches(raw, one):
    (raw / "patches" / "S1.h5").unlink()


def in_file(change):
    """Change the .h5ad as a file: what anndata would not write."""

    def spoil(raw, one):
        with h5py.File(raw / "st" / "S1.h5ad", "r+") as file:
            change(file)

    return spoil


def put_index(value, part="indices", at=0):
    def change(file):
        values = file["X"][part][:]
        values[at] = value
        file["X"][part][:] = values

    return in_file(change)


def shorter(part):
    def change(file):
        values = file["X"][part][:-5]
        del file["X"][part]
        file["X"][part] = values

    return in_file(change)


def say(**attributes):
    return in_file(lambda file: file["X"].attrs.update(attributes))


@in_file
def unknown_filter(file):
    """As Blosc or Zstd leave it where their plug-in is not there; of a number that nobody has."""
    values = file["X"]["data"][:]
    del file["X"]["data"]
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk(values.shape)
    plan.set_filter(400, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple(values.shape)
    data = h5py.h5d.create(file["X"].id, b"data", h5py.h5t.IEEE_F32LE, space, plan)
    data.write_direct_chunk((0,), values.astype("<f4").tobytes())


@in_file
def only_layers(file):
    file.copy("X", "layers/spliced")
    file.copy("X", "layers/counts")
    del file["X"]


@in_file
def empty_x(file):
    del file["X"]
    file["X"] = h5py.Empty("f4")


@in_file
def layers_no_group(file):
    """Looking a name up in it would never end."""
    del file["layers"]
    file.create_dataset("layers", (2**60,), "f4", chunks=(1024,))
    del file["X"]


@in_file
def lists_for_a_form(file):
    lists = np.empty(1, dtype=object)
    lists[0] = np.arange(3, dtype=np.int32)
    del file["X"].attrs["encoding-type"]
    file["X"].attrs.create("encoding-type", lists, dtype=h5py.vlen_dtype(np.int32))


@in_file
def names_in_circles(file):
    del file["var"]["_index"]
    file["var/_index/again"] = file["var"]


@in_file
def far_away(file):
    for name in ("pxl_col_in_fullres", "pxl_row_in_fullres"):
        del file["obs"][name]
    file["obsm"]["spatial"][7] = 1e300


@in_file
def names_without_end(file):
    """Nothing of them is stored, and in memory they are 2 GB."""
    del file["obs"]["_index"]
    file["obs"].create_dataset("_index", (2**28,), h5py.string_dtype(), chunks=(1024,))


def break_heap(raw, one):
    """The size of a text in the file becomes zero: libhdf5 would read on for ever."""
    path = raw / "st" / "S1.h5ad"
    data = bytearray(path.read_bytes())
    place = data.find(b"GCOL") + 16
    data[place : place + 2], data[place + 8 : place + 16] = bytes(2), bytes(8)
    path.write_bytes(data)


def in_patches(change):
    def spoil(raw, one):
        with h5py.File(raw / "patches" / "S1.h5", "r+") as file:
            change(file)

    return spoil


@in_patches
def huge_tiles(file):
    del file["img"]
    file.create_dataset("img", (30, 4097, 4097, 3), "u1", chunks=(1, 64, 64, 3))


@in_patches
def tiles_in_a_group(file):
    del file["img"]
    file.create_group("img")


@in_patches
def empty_barcodes(file):
    del file["barcode"]
    file["barcode"] = h5py.Empty("S5")


@in_file
def lose_places(file):
    for name in ("pxl_col_in_fullres", "pxl_row_in_fullres"):
        del file["obs"][name]
    del file["obsm"]["spatial"]


@in_file
def places_in_words(file):
    del file["obs"]["pxl_col_in_fullres"]
    file["obs"]["pxl_col_in_fullres"] = ["here"] * 30


@in_file
def two_genomes(file):
    file["var"]["genome"] = ["GRCh38"] * 30 + ["mm10"] * 10


DAMAGED = r"S1.h5ad: truncated, damaged or not an .h5ad"
WHERE = "for gene 'GENE02' of spot '03x00'"
BAD = {
    "no h5ad": (no_counts, r"slide 'S1': .*S1.h5ad is missing beside S1.h5; put it there"),
    "no patches": (no_patches, r"slide 'S1': .*S1.h5 is missing beside S1.h5ad"),
    "truncated patches": (
        spoil_patches,
        r"slide 'S1': .*S1.h5: truncated, damaged or not a file of patches .*; copy it again",
    ),
    "truncated counts": (spoil_counts, r"S1.h5ad: truncated, damaged or not an .h5ad .*; copy it again"),
    "damaged tile": (
        cut_tiles,
        r"slide 'S1': .*S1.h5: truncated, damaged or not a file of patches .*; copy it again",
    ),
    "other barcodes": (
        rename_barcodes,
        r"no barcode in common: 00x00, 01x00, 02x00 against spot0, spot1, spot2",
    ),
    "x for y": (
        turn_coordinates,
        r"x and y are exchanged: \d+% of the spots .* with x for y 0%; .* add --swap-xy",
    ),
    "elsewhere": (
        shuffle_coordinates,
        r"coordinates do not fit the tiles: \d+% of 30 spots lie more than half a",
    ),
    "shifted away": (
        shifted_away,
        r"coordinates must be finite numbers \[spots, 2\]: 30 spots have none; put them right",
    ),
    "a group of tiles": (
        a_group,
        r"slide 'S1': .*S1.h5: .*not a file of patches \(/img holds no values\); copy it again",
    ),
    "negative": (put(-1), rf"must not be negative, got -1 {WHERE}"),
    "fractions": (put(0.5), rf"must be whole numbers, got 0.5 {WHERE}"),
    "nan": (put(np.nan), rf"must be finite, got nan {WHERE}"),
    "an index too large": (
        put_index(4000),
        rf"{DAMAGED} \(an index is 4000, there are 40 columns\); copy it again",
    ),
    "an index far too large": (put_index(2**31 - 1), rf"{DAMAGED} \(an index is 2147483647,"),
    "an index below 0": (put_index(-1), rf"{DAMAGED} \(an index is -1,"),
    "a pointer too large": (put_index(10**6, "indptr", 5), rf"{DAMAGED} \(indptr does not ascend"),
    "short data": (shorter("data"), rf"{DAMAGED} \(\d+ values have \d+ indices"),
    "short indptr": (shorter("indptr"), rf"{DAMAGED} \(indptr has 26 entries for 30 rows"),
    "no indptr": (in_file(lambda file: file["X"].__delitem__("indptr")), rf"{DAMAGED} \(/X lacks its indptr"),
    "unknown form": (say(**{"encoding-type": "coo_matrix"}), rf"{DAMAGED} \(/X is stored as 'coo', not as"),
    "another shape": (say(shape=[30, 41]), rf"{DAMAGED} \(/X is \[30, 41\], there are 30 spots and 40 genes"),
    "an unknown filter": (
        unknown_filter,
        r"S1.h5ad: is compressed by an HDF5 filter that is not there \(.*\); install hdf5plugin .*, or write it again with gzip",
    ),
    "no X": (
        only_layers,
        r"has no X; its layers are counts, spliced: name the one that holds raw counts, as in --layer counts$",
    ),
    "an empty X": (empty_x, r"S1.h5ad: has no X; store raw counts in X$"),
    "layers that are no group": (layers_no_group, r"S1.h5ad: has no X; store raw counts in X$"),
    "lists for a form": (
        lists_for_a_form,
        rf"{DAMAGED} \(the attribute encoding-type of /X holds neither numbers nor texts\)",
    ),
    "names in circles": (names_in_circles, rf"{DAMAGED} \(/var/_index/again holds no values\)"),
    "names without end": (names_without_end, rf"{DAMAGED} \(.*(allocate|memory)"),
    "far away": (
        far_away,
        r"coordinates must be finite numbers \[spots, 2\]: 1 spot has none; put them right",
    ),
    "a broken heap": (break_heap, rf"{DAMAGED} \(the heap of texts at byte \d+ does not add up\)"),
    "huge tiles": (
        huge_tiles,
        r"S1.h5: its tiles are 4097 pixels a side, more than 4096; HEST-1k patches have",
    ),
    "tiles in a group": (
        tiles_in_a_group,
        r"S1.h5: truncated, damaged or not a file of patches \(/img holds no values\)",
    ),
    "empty barcodes": (
        empty_barcodes,
        r"S1.h5: truncated, damaged or not a file of patches \(/barcode holds no values\)",
    ),
    "no names of genes": (
        in_file(lambda file: file["var"].__delitem__("_index")),
        rf"{DAMAGED} \(.*has no _index",
    ),
    "no places": (
        lose_places,
        r"S1.h5ad: has no pixel coordinates: neither obs pxl_col_in_fullres and pxl_row_in_fullres nor obsm\['spatial'\]; add",
    ),
    "places in words": (
        places_in_words,
        r"S1.h5ad: obs\['pxl_col_in_fullres'\] must hold numbers, the pixel coordinates; put",
    ),
    "two genomes": (two_genomes, r"holds genes of 2 genomes, GRCh38 \(30 columns\) and mm10 \(10 columns\)"),
    "no place": (lose_coordinates, r"coordinates must be finite numbers \[spots, 2\]: 1 spot has none"),
    "no barcodes": (other_layout, r"S1.h5: has no barcode; HEST-1k patches have img uint8"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_slide_that_cannot_be_used_is_named_and_the_others_are_unharmed(tmp_path, hest, fault):
    spoil, rule = BAD[fault]
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one, "S2": slide_of(1)})
    spoil(raw, one)
    code, out, err = hest(raw)
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: slide 'S1': ")
    assert re.search(rule, lines[0]), lines[0]
    assert "1 slide, 30 spots" in out and "1 slide could not be used" in out
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"S2"}
    assert len(spots_of(tmp_path / "out", "S2")) == 30


def test_counts_of_a_layer(tmp_path, hest, command):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one})
    with h5py.File(raw / "st" / "S1.h5ad", "r+") as file:
        file.copy("X", "layers/counts")
        file.copy("X", "raw/X")
        file.copy("var", "raw/var")
        file["X"]["data"][:] = np.log1p(file["X"]["data"][:])
    code, _, err = hest(raw)
    assert (
        code == 1
        and "its layers are counts, raw: name the one that holds raw counts, as in --layer counts" in err
    )
    for layer in ("counts", "raw"):
        assert hest(raw, "--layer", layer)[0] == 0
        spots = spots_of(tmp_path / "out", "S1")
        assert spots["00x00"].sentence.split()[0] == GENES[int(np.argmax(one.counts[0]))]
    against = ("check", tmp_path / "out", "--against", raw, "--jobs", "1", "--quiet")
    assert "0 mismatches in 30 spots" in command(*against, "--layer", "counts")[1]
    code, _, err = hest(raw, "--layer", "count")
    assert code == 1 and "unknown layer 'count'; did you mean 'counts'? Known: counts, raw" in err


def test_one_genome_is_chosen(tmp_path, hest):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    two_genomes(raw, None)
    assert hest(raw, "--genome", "mm10", "--min-genes", "1")[0] == 0
    words = {word for spot in spots_of(tmp_path / "out", "S1").values() for word in spot.sentence.split()}
    assert words == set(GENES[30:])


@pytest.mark.parametrize(
    ("kinds", "left"),
    [
        (["Gene Expression"] * 30 + ["Antibody Capture"] * 10, 30),
        (["protein_coding"] * 20 + ["lncRNA"] * 20, 40),
    ],
)
def test_only_gene_expression_is_taken_where_the_file_says_what_is(tmp_path, hest, kinds, left):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    with h5py.File(raw / "st" / "S1.h5ad", "r+") as file:
        file["var"]["feature_types"] = kinds
    assert hest(raw, "--min-genes", "1")[0] == 0
    words = {word for spot in spots_of(tmp_path / "out", "S1").values() for word in spot.sentence.split()}
    assert words == set(GENES[:left])


def test_names_that_seuratdisk_left_unmarked(tmp_path, hest):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one})
    with h5py.File(raw / "st" / "S1.h5ad", "r+") as file:
        for table in (file, file["var"], file["obs"]):  # anndata then numbers the rows
            for name in ("encoding-type", "encoding-version"):
                del table.attrs[name]
    assert hest(raw)[0] == 0
    assert (
        spots_of(tmp_path / "out", "S1")["00x00"].sentence.split()[0] == GENES[int(np.argmax(one.counts[0]))]
    )


def test_a_file_of_anndata_0_6(tmp_path, hest):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one})
    with h5py.File(raw / "st" / "S1.h5ad", "r+") as file:
        parts = {name: file["X"][name][:] for name in ("data", "indices", "indptr")}
        for name in list(file):
            del file[name]
        for name in list(file.attrs):
            del file.attrs[name]
        for name, values in parts.items():
            file[f"X/{name}"] = values
        file["X"].attrs.update({"h5sparse_format": "csr", "h5sparse_shape": one.counts.shape})
        file["obs"] = np.array(
            [(name.encode(), 1.0) for name in one.barcodes], [("index", "S9"), ("n", "f4")]
        )
        file["var"] = np.array([(name.encode(),) for name in one.genes], [("index", "S9")])
        file["obsm"] = np.array([(place,) for place in one.xy], [("spatial", "f8", (2,))])
    assert hest(raw)[0] == 0
    assert spots_of(tmp_path / "out", "S1")["00x00"].x == one.xy[0, 0]


def test_joined_columns_are_shown_by_name(tmp_path, hest):
    one = slide_of(0)
    one.genes = [*GENES[:37], "GENE00.1", "BLANK_1", "1-Mar"]
    _, out, _ = hest(write_hest(tmp_path / "raw", {"S1": one}))
    assert (
        "1 column joined another of the same gene (GENE00: GENE00 + GENE00.1); 2 columns of no gene left out (1-Mar;"
        in out
    )


def test_all_counts_zero_is_said_to_be(tmp_path, hest):
    one = slide_of(0)
    one.counts[:] = 0
    code, _, err = hest(write_hest(tmp_path / "raw", {"S1": one}))
    assert code == 1 and "all counts are zero; store raw counts in X, or leave the slide out" in err


def test_x_for_y_is_put_right_when_asked(tmp_path, hest):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one})
    right = one.xy.copy()
    turn_coordinates(raw, one)
    assert hest(raw, "--swap-xy")[0] == 0
    assert spots_of(tmp_path / "out", "S1")[one.barcodes[7]].x == right[7, 0]


def test_no_gene_of_the_panel(tmp_path, hest):
    one = slide_of(0)
    raw = write_hest(tmp_path / "raw", {"S1": one, "S2": slide_of(1)})
    other_genes(raw, one)
    (tmp_path / "panel.txt").write_text("GENE01\nGENE02\n")
    code, out, err = hest(raw, "--genes", str(tmp_path / "panel.txt"), "--min-genes", "1")
    assert code == 1 and "1 slide, " in out
    assert (
        "no gene in common with the panel: its 40 genes are such as GENE0, GENE1, GENE10, the panel's 2 such as"
        in err
    )


def test_tiles_of_another_size_than_the_rest(tmp_path, hest):
    odd = slide_of(0)
    odd.tiles = odd.tiles[:, :16, :16]
    raw = write_hest(tmp_path / "raw", {"S1": odd, "S2": slide_of(1), "S3": slide_of(2)})
    code, _, err = hest(raw)
    assert code == 1
    assert (
        "slide 'S1': its tiles are 16 pixels a side, those of most slides 32; leave it out, or bring all to one size"
        in err
    )
    assert hest(raw, "--tile-size", "16")[0] == 0
    assert spots_of(tmp_path / "out", "S2")["00x00"].tile.shape == (16, 16, 3)


def test_a_full_disk_names_the_slide_and_leaves_nothing_half_written(tmp_path, hest, monkeypatch):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0), "S2": slide_of(1)})
    from stclip.data.raw import convert

    real = convert.write_slide

    def full(out, slide, spots, record):
        if slide == "S2":
            next(iter(spots))
            raise OSError(28, "No space left on device")
        return real(out, slide, spots, record=record)

    monkeypatch.setattr(convert, "write_slide", full)
    code, out, err = hest(raw)
    assert code == 1 and "1 slide, 30 spots" in out
    assert err.startswith(
        "error: slide 'S2': cannot be written (No space left on device); make room there, then run the same command"
    )


def test_nothing_half_written_after_an_error_in_the_middle(tmp_path, hest):
    one = slide_of(0, spots=300)
    one.counts[290, 0] = 0.5  # in the second block
    raw = write_hest(tmp_path / "raw", {"S1": one})
    assert hest(raw)[0] == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".conversion.lock"]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (["--genes", "hvg:none"], "--genes must be all, hvg:N with N from 1 up, or a file, got 'hvg:none'"),
        (["--genes", "no_such_file"], "--genes no_such_file: cannot be read as text"),
        (
            ["--species", "Homo sapien"],
            "--species 'Homo sapien': none of 1 slides is of it; check its spelling",
        ),
    ],
)
def test_options_that_cannot_be_met(tmp_path, hest, options, rule):
    code, _, err = hest(write_hest(tmp_path / "raw", {"S1": slide_of(0)}), *options)
    assert code == 2 and err.startswith(f"error: {rule}")


def test_a_slide_list_that_names_another(tmp_path, hest):
    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    (tmp_path / "some.txt").write_text("S11\n")
    code, _, err = hest(raw, "--slides", str(tmp_path / "some.txt"))
    assert code == 2 and "unknown slide 'S11'; did you mean 'S1'? Known: S1" in err


@pytest.mark.parametrize(
    ("make", "rule"), [(True, "no slide in HEST-1k's layout"), (False, "no such folder")]
)
def test_a_folder_without_slides(tmp_path, hest, make, rule):
    if make:
        (tmp_path / "raw").mkdir()
    code, _, err = hest(tmp_path / "raw")
    assert code == 2 and rule in err


def test_two_conversions_into_one_folder(tmp_path, hest):
    from filelock import FileLock

    raw = write_hest(tmp_path / "raw", {"S1": slide_of(0)})
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".conversion.lock"):
        code, _, err = hest(raw)
    assert code == 2 and "another conversion is writing there; wait for it, or choose another --out" in err
