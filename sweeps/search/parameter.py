"""One searched parameter: its kind, its range, and the ways to take a value from it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from stclip.config import StrictModel

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Finite = Annotated[float, Field(allow_inf_nan=False)]
LARGEST = 1e15  # of a range's ends: whole numbers up to here are exact floats, as Optuna stores them
Scalar = bool | int | Finite | str | None


class Parameter(StrictModel):
    """`float` and `int`: from `low` to `high`, over the logarithm with `log`. `choice`: one of `values`."""

    type: Literal["float", "int", "choice"]
    low: int | Finite | None = None
    high: int | Finite | None = None
    log: bool = False
    values: tuple[Scalar, ...] | None = None

    @model_validator(mode="after")
    def _is_a_range_or_a_choice(self) -> Parameter:
        if self.type == "choice":
            self._check_choice()
        else:
            self._check_range()
        return self

    def _check_choice(self) -> None:
        if self.low is not None or self.high is not None or self.log:
            raise ValueError("type choice takes `values` only; give low, high and log to a float or an int")
        values = self.values or ()
        if len(values) < 2:
            raise ValueError(
                f"type choice needs at least two values, got {list(values)}; "
                "a fixed value belongs in `overrides`"
            )
        if len({_meaning(value) for value in values}) < len(values):
            raise ValueError(f"values must differ, got {list(values)}")

    def _check_range(self) -> None:
        if self.values is not None:
            raise ValueError(f"type {self.type} takes low and high, not `values`; use type choice")
        if self.low is None or self.high is None:
            raise ValueError(
                f"type {self.type} needs both low and high, got low={self.low}, high={self.high}"
            )
        if not -LARGEST <= min(self.low, self.high) <= max(self.low, self.high) <= LARGEST:
            raise ValueError(f"low and high lie between -{LARGEST:g} and {LARGEST:g}; write smaller numbers")
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got low={self.low}, high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(
                f"low must be above 0 with log: true, got {self.low}; raise low or set log: false"
            )
        if self.type == "int" and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"type int needs whole numbers, got low={self.low}, high={self.high}")

    def ends(self) -> tuple[Scalar, ...]:
        """The outermost values: low and high, or every choice."""
        return self.values if self.values is not None else (self.cast(self.low), self.cast(self.high))

    def middle(self) -> Scalar:
        """The middle of the range (geometric with `log`), or the choice in the middle of the list."""
        return self.at(0.5)

    def at(self, share: float) -> Scalar:
        """The value at a share in [0, 1] of the range; choices, and ints without `log`, have equal shares."""
        if self.values is not None:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        assert self.low is not None and self.high is not None
        if self.type == "int":
            # Half a unit on both sides, so that the two ends are as likely as the others.
            low, high = self.low - 0.5, self.high + 0.5
            return int(min(max(round(_between(low, high, self.log, share)), self.low), self.high))
        value = float(f"{_between(self.low, self.high, self.log, share):.6g}")  # 0.5, not 0.49999999999999994
        return min(max(value, float(self.low)), float(self.high))

    def cast(self, value: Scalar) -> Scalar:
        """The value as the parameter's own type. Raises ValueError outside the range or the choices."""
        if self.values is not None:
            for known in self.values:
                if _same(known, value):
                    return known
            raise ValueError(f"must be one of {list(self.values)}, got {value!r}")
        assert self.low is not None and self.high is not None
        try:
            number = float(value) if not isinstance(value, bool) and value is not None else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not self.low <= number <= self.high or (self.type == "int" and not number.is_integer()):
            kind = "a whole number" if self.type == "int" else "a number"
            raise ValueError(f"must be {kind} from {self.low} to {self.high}, got {value!r}")
        return int(number) if self.type == "int" else number

    def distribution(self) -> BaseDistribution:
        """The same range as Optuna writes it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.values is not None:
            return CategoricalDistribution(self.values)
        assert self.low is not None and self.high is not None
        if self.type == "int":
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(float(self.low), float(self.high), log=self.log)


def _between(low: float, high: float, log: bool, share: float) -> float:
    if log:
        return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return low + share * (high - low)


def _meaning(value: Scalar) -> tuple[str, Scalar]:
    """Equal for values that make one configuration: 1 and 1.0, 0.0001 and its text."""
    if isinstance(value, bool) or value is None:
        return "constant", value
    try:
        return "number", float(value)
    except (ValueError, OverflowError):
        return "text", value


def _same(a: Scalar, b: Scalar) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)  # 1 == True in Python; not here
