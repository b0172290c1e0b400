"""The detectors: each a small class for one thing that can be wrong around a model.

A new one is a class in the module of its group, one line here, and its tests.
"""

from __future__ import annotations

from forensics.reconstruct.detectors.base import Detector
from forensics.reconstruct.detectors.config import UnreviewedConfig
from forensics.reconstruct.detectors.data_tests import FailedDataTest
from forensics.reconstruct.detectors.inputs import (
    DefaultedFeature,
    ExpiredFeature,
    OutsideTraining,
    TrainingServingSkew,
)
from forensics.reconstruct.detectors.pipelines import NewPipelineCode
from forensics.reconstruct.detectors.result import (
    CanaryServed,
    ConsumerMisread,
    OutcomeContradiction,
    OverrideWithoutGround,
    ThresholdMismatch,
)
from forensics.reconstruct.detectors.scale import ScaleJump
from forensics.reconstruct.detectors.steps import (
    FailedStep,
    FallbackUsed,
    MissingSteps,
    StepsOutOfOrder,
)
from forensics.reconstruct.detectors.versions import (
    AlteredArtifact,
    DuplicateDecision,
    MixedVersions,
    StaleCache,
)

#: In the order in which their findings of one severity are told.
DETECTORS: tuple[Detector, ...] = (
    AlteredArtifact(),
    ScaleJump(),
    StaleCache(),
    OutcomeContradiction(),
    ThresholdMismatch(),
    ConsumerMisread(),
    CanaryServed(),
    UnreviewedConfig(),
    MixedVersions(),
    StepsOutOfOrder(),
    MissingSteps(),
    FailedStep(),
    FallbackUsed(),
    ExpiredFeature(),
    DefaultedFeature(),
    OutsideTraining(),
    TrainingServingSkew(),
    FailedDataTest(),
    NewPipelineCode(),
    OverrideWithoutGround(),
    DuplicateDecision(),
)
