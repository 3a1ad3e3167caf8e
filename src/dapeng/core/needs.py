"""What decoders need of features decides how inputs are read, where the spec leaves that open. Known before any data is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dapeng.core.kinds import ColumnOptions, EncoderOptions, encoders


def needed_encoders(
    inputs: Mapping[str, ColumnOptions], outputs: Mapping[str, ColumnOptions]
) -> dict[str, tuple[EncoderOptions, str]]:
    """By input that names no encoder: the one that the outputs' decoders ask for, and why; inputs without such are left out."""
    found = {}
    for name, options in inputs.items():
        if not _open(options):
            continue
        for output, wanted in outputs.items():
            decoder: Any = getattr(wanted, "decoder", None)
            tag, good = options.encoder_for(decoder.needs) if decoder is not None else ("", "")
            if tag in encoders.fitting(options.type):
                found[name] = (
                    encoders.members()[tag](),
                    f"{good}, at which the decoder of {output} looks",
                )
                break
    return found


def with_needed(inputs: Mapping[str, ColumnOptions], found: Mapping[str, tuple[EncoderOptions, str]]) -> dict[str, Any]:
    """The same inputs, those encoders put in."""
    return {n: o.model_copy(update={"encoder": found[n][0]}) if n in found else o for n, o in inputs.items()}


def _open(options: ColumnOptions) -> bool:
    return "encoder" in type(options).model_fields and getattr(options, "encoder", None) is None
