"""The kinds of things that can be added with one new file, and what each must offer. No torch, no numpy.

Every registry is the name of a package; the package is scanned at first use, and entry points of the same group name
(`dapeng.encoders`, `dapeng.sources`, ...: the last part of the package's name) add members from outside. A member's options class stands beside what it builds.
"""

from __future__ import annotations

from dapeng.core.kinds.around import (
    CheckOptions,
    CompressorOptions,
    EngineOptions,
    ExporterOptions,
    MetricOptions,
    SampleOptions,
    SectionOptions,
    SourceOptions,
    SplitOptions,
    TaskOptions,
)
from dapeng.core.kinds.layers import (
    ActivationOptions,
    DenoiserOptions,
    InitialisationOptions,
    LayerOptions,
    NormOptions,
    VocoderOptions,
)
from dapeng.core.kinds.model import (
    ColumnOptions,
    DecoderOptions,
    EncoderOptions,
    FusionOptions,
    LossOptions,
)
from dapeng.core.kinds.training import (
    LearnerOptions,
    ObjectiveOptions,
    OptimiserOptions,
    ScheduleOptions,
    TransformOptions,
)
from dapeng.core.registry import Registry

columns = Registry("dapeng.columns", "column type")
encoders = Registry("dapeng.encoders", "encoder")
fusions = Registry("dapeng.fusion", "fusion")
decoders = Registry("dapeng.decoders", "decoder")
losses = Registry("dapeng.decoders.losses", "loss")
activations = Registry("dapeng.layers.activations", "activation")
norms = Registry("dapeng.layers.norms", "norm")
initialisations = Registry("dapeng.layers.initialisations", "initialisation")
layers = Registry("dapeng.layers.pictures", "layer")
denoisers = Registry("dapeng.layers.denoisers", "denoiser")
vocoders = Registry("dapeng.layers.vocoders", "vocoder")
objectives = Registry("dapeng.objectives", "objective")
optimisers = Registry("dapeng.train.optimisers", "optimiser")
schedules = Registry("dapeng.train.schedules", "schedule")
transforms = Registry("dapeng.transforms", "transform")
metrics = Registry("dapeng.metrics", "metric")
tasks = Registry("dapeng.evaluate.tasks", "task")
learners = Registry("dapeng.learners", "learner")
sources = Registry("dapeng.data.sources", "source")
samples = Registry("dapeng.samples", "sample")
splits = Registry("dapeng.data.splits", "split", tag="by")
sections = Registry("dapeng.report.sections", "report section")
exporters = Registry("dapeng.export.formats", "export format")
compressors = Registry("dapeng.compress.methods", "compression")
engines = Registry("dapeng.engines", "engine")
checks = Registry("dapeng.checks", "check")

__all__ = [
    "ActivationOptions",
    "CheckOptions",
    "ColumnOptions",
    "CompressorOptions",
    "DecoderOptions",
    "DenoiserOptions",
    "EncoderOptions",
    "EngineOptions",
    "ExporterOptions",
    "FusionOptions",
    "InitialisationOptions",
    "LayerOptions",
    "LearnerOptions",
    "LossOptions",
    "MetricOptions",
    "NormOptions",
    "ObjectiveOptions",
    "OptimiserOptions",
    "SampleOptions",
    "ScheduleOptions",
    "SectionOptions",
    "SourceOptions",
    "SplitOptions",
    "TaskOptions",
    "TransformOptions",
    "VocoderOptions",
    "activations",
    "checks",
    "columns",
    "compressors",
    "decoders",
    "denoisers",
    "encoders",
    "engines",
    "exporters",
    "fusions",
    "initialisations",
    "layers",
    "learners",
    "losses",
    "metrics",
    "norms",
    "objectives",
    "optimisers",
    "samples",
    "schedules",
    "sections",
    "sources",
    "splits",
    "tasks",
    "transforms",
    "vocoders",
]
