"""What is neither network nor data, one thing a file, in a folder for each subject.

What users name:

inside      ActivationStatistics, ClassActivationMaps, FirstLayerFilters, GradientFlow: what happens in a network
evaluation  ClassErrors, ObjectLocalization, TrainingError: what is classified wrong, where objects are found,
            and how well the training images are fitted
test_time   TestTimeAugmentation: predictions averaged over several views of an image
scaling     DDPScaling, ScalingEfficiency, Throughput: the learning rate, the efficiency and the speed of many devices
gan         CollapseAlarm, SampleMeasures, SamplePictures: what a generator makes
training    AuxiliaryLossWeighting, PolyakAveraging, StopOnNaN: the losses and the weights of a training
            BestCheckpoint, EpochProgressBar, KeepFinite, LatestCheckpoint, StepSeed: in every run, to evaluate, follow,
            keep sound, resume and repeat it
"""

from callbacks.evaluation.class_errors import ClassErrors as ClassErrors
from callbacks.evaluation.object_localization import ObjectLocalization as ObjectLocalization
from callbacks.evaluation.training_error import TrainingError as TrainingError
from callbacks.gan.collapse_alarm import CollapseAlarm as CollapseAlarm
from callbacks.gan.sample_measures import SampleMeasures as SampleMeasures
from callbacks.gan.sample_pictures import SamplePictures as SamplePictures
from callbacks.inside.activation_statistics import ActivationStatistics as ActivationStatistics
from callbacks.inside.class_activation_maps import ClassActivationMaps as ClassActivationMaps
from callbacks.inside.first_layer_filters import FirstLayerFilters as FirstLayerFilters
from callbacks.inside.gradient_flow import GradientFlow as GradientFlow
from callbacks.scaling.ddp_scaling import DDPScaling as DDPScaling
from callbacks.scaling.scaling_efficiency import ScalingEfficiency as ScalingEfficiency
from callbacks.scaling.throughput import Throughput as Throughput
from callbacks.test_time.test_time_augmentation import TestTimeAugmentation as TestTimeAugmentation
from callbacks.training.auxiliary_loss import AuxiliaryLossWeighting as AuxiliaryLossWeighting
from callbacks.training.checkpoints import BestCheckpoint as BestCheckpoint
from callbacks.training.checkpoints import LatestCheckpoint as LatestCheckpoint
from callbacks.training.epoch_progress_bar import EpochProgressBar as EpochProgressBar
from callbacks.training.step_seed import StepSeed as StepSeed
from callbacks.training.stop_on_nan import KeepFinite as KeepFinite
from callbacks.training.stop_on_nan import StopOnNaN as StopOnNaN
from callbacks.training.weight_averaging import PolyakAveraging as PolyakAveraging
