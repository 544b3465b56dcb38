"""Types of configured values: each says, beside the parameter that it annotates, which values are allowed.

Pydantic enforces them where a constructor is decorated with ``checked`` or a dataclass with ``checked_dataclass``.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar, dataclass_transform

from annotated_types import Ge, Gt, Le, Lt, Unit
from pydantic import ConfigDict, validate_call
from pydantic.dataclasses import dataclass

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class")

STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True, extra="forbid")

Count = Annotated[int, Ge(1)]
WholeNumber = Annotated[int, Ge(0)]
FoldCount = Annotated[int, Ge(2)]
Seed = Annotated[int, Ge(0), Lt(2**32)]  # NumPy's generators take no more
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
PositiveShare = Annotated[float, Gt(0), Le(1)]
PartShare = Annotated[float, Ge(0), Lt(1)]
OpenShare = Annotated[float, Gt(0), Lt(1)]
DropoutProbability = Annotated[float, Ge(0), Lt(1)]
Hertz = Annotated[float, Gt(0), Unit("Hz")]
Port = Annotated[int, Ge(0), Le(65_535)]
SampleRate = Annotated[int, Ge(1_000), Le(768_000), Unit("Hz")]
SampleCount = Annotated[int, Ge(1), Unit("samples")]
PictureSize = Annotated[int, Ge(8), Unit("pixels")]  # three poolings halve it thrice
Seconds = Annotated[float, Ge(0.1), Le(1e6), Unit("seconds")]  # a shorter clip has no spectrogram
Duration = Annotated[float, Gt(0), Unit("seconds")]


def checked(function: Function) -> Function:
    """Check the arguments of a function or constructor against its annotations, at every call.

    Raises:
        pydantic.ValidationError: a ValueError that names the argument.
    """
    return validate_call(config=STRICT)(function)


@dataclass_transform(frozen_default=True)
def checked_dataclass(cls: type[Class]) -> type[Class]:
    """A frozen dataclass whose values are checked against their annotations."""
    return dataclass(frozen=True, config=STRICT)(cls)  # type: ignore[return-value]
