"""Coordinates against the places that tiles were cut from."""

import numpy as np
import pytest

from stclip.data.raw.tile_places import check_places
from stclip.errors import DataError

CORNERS = np.array([[x * 100.0, y * 100.0] for x in range(9) for y in range(4)])


@pytest.mark.parametrize("shift", [(16, 16), (0, 0), (-40, 55)])
def test_a_constant_shift_is_none_of_our_business(shift):
    xy = CORNERS + shift
    assert (check_places("S", xy, CORNERS, 32, swap_xy=False) == xy).all()


def test_a_few_odd_spots_are_allowed_more_are_not():
    xy = CORNERS + 16.0
    xy[0] += 50
    assert check_places("S", xy, CORNERS, 32, swap_xy=False) is xy
    xy[1:4] += 50
    with pytest.raises(DataError, match=r"slide 'S': the coordinates do not fit the tiles: 11% of 36 spots"):
        check_places("S", xy, CORNERS, 32, swap_xy=True)


def test_tiles_without_a_place_do_not_fit():
    with pytest.raises(DataError, match=r"slide 'S': the coordinates do not fit the tiles: 100% of 36 spots"):
        check_places("S", CORNERS + 16.0, np.full_like(CORNERS, np.nan), 32, swap_xy=False)


def test_exchanged_coordinates_are_told_from_wrong_ones():
    xy = CORNERS + 16.0
    with pytest.raises(
        DataError, match=r"slide 'S': x and y are exchanged: .*; put them right, or add --swap-xy"
    ):
        check_places("S", xy[:, ::-1], CORNERS, 32, swap_xy=False)
    assert (check_places("S", xy[:, ::-1], CORNERS, 32, swap_xy=True) == xy).all()
