"""What a process does once before its first training, done where others are forked from: the parts are found, the spec's schema is built.

Nothing is computed here: threads that computing starts would not be in the fork.
"""

import lightgbm
import torch._dynamo
from tiny import SPEC  # type: ignore[import-not-found]

import dapeng.api.training
import dapeng.explain.explain
import dapeng.report.write
from dapeng.core.loader import load_spec
from dapeng.core.registry import Registry

__all__ = ["dapeng", "lightgbm", "torch"]

load_spec(SPEC)
for registry in list(Registry.all.values()):
    registry.members()
