"""Base of every configuration class: frozen, unknown keys refused, documented under the field."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A configuration section; give each field its docstring below it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
