"""Seeds of one integer and names: the same for ever, in range, and others for other names."""

from sweeps.seeds import derived_seed


def test_seeds_stay_what_they_were():
    """A sweep that an older version began goes on with the same seeds."""
    found = [derived_seed(0, "train", 0), derived_seed(3, "confirm", 1), derived_seed(0, "tpe", "clip", 12)]
    assert found == [746405699, 139715948, 827133946]


def test_seeds_are_within_31_bits_and_differ_by_the_seed_and_by_every_name():
    found = [derived_seed(seed, name, number) for seed in range(5) for name in "ab" for number in range(100)]
    assert all(0 <= seed < 2**31 for seed in found)
    assert max(found) > 2**30  # all bits are used
    assert len(set(found)) == 1000


def test_names_do_not_run_into_each_other():
    assert derived_seed(1, 23) != derived_seed(12, 3)
    assert derived_seed(0, "tpe", "clip1", 2) != derived_seed(0, "tpe", "clip", 12)
