"""What every section of a recipe is: a frozen record that refuses unknown keys."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tutelage.errors import ConfigError

Share = Annotated[float, Field(ge=0, lt=1)]


def checked(check: Callable[..., Any], *values: Any) -> None:
    """A check of another floor, its refusal in the form that pydantic reports."""
    try:
        check(*values)
    except ConfigError as fault:
        raise ValueError(str(fault)) from None


class Record(BaseModel):
    """Frozen, and closed: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
