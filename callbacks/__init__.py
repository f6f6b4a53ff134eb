"""What is neither network nor data, one thing a file."""

from callbacks.activation_statistics import ActivationStatistics
from callbacks.auxiliary_loss import AuxiliaryLossWeighting
from callbacks.class_activation_maps import ClassActivationMaps
from callbacks.class_errors import ClassErrors
from callbacks.collapse_alarm import CollapseAlarm
from callbacks.ddp_scaling import DDPScaling
from callbacks.epoch_progress_bar import EpochProgressBar
from callbacks.first_layer_filters import FirstLayerFilters
from callbacks.gan_measures.sample_measures import SampleMeasures
from callbacks.gradient_flow import GradientFlow
from callbacks.latest_checkpoint import LatestCheckpoint
from callbacks.object_localization import ObjectLocalization
from callbacks.sample_pictures import SamplePictures
from callbacks.scaling_efficiency import ScalingEfficiency
from callbacks.step_seed import StepSeed
from callbacks.stop_on_nan import StopOnNaN
from callbacks.test_time_augmentation import TestTimeAugmentation
from callbacks.throughput import Throughput
from callbacks.weight_averaging import PolyakAveraging

__all__ = [
    "ActivationStatistics",
    "AuxiliaryLossWeighting",
    "ClassActivationMaps",
    "ClassErrors",
    "CollapseAlarm",
    "DDPScaling",
    "EpochProgressBar",
    "FirstLayerFilters",
    "GradientFlow",
    "LatestCheckpoint",
    "ObjectLocalization",
    "PolyakAveraging",
    "SampleMeasures",
    "SamplePictures",
    "ScalingEfficiency",
    "StepSeed",
    "StopOnNaN",
    "TestTimeAugmentation",
    "Throughput",
]
