"""The landmark image networks, one paper a file."""

from lightning_modules.alexnet import AlexNet as AlexNet
from lightning_modules.alexnet_pair import AlexNetPair as AlexNetPair
from lightning_modules.classifier import ImageClassifier as ImageClassifier
from lightning_modules.finite_loss import NonFiniteLossError as NonFiniteLossError
from lightning_modules.gan import GAN as GAN
from lightning_modules.googlenet import GoogLeNet as GoogLeNet
from lightning_modules.nin import NIN as NIN
from lightning_modules.resnet import ResNet as ResNet
from lightning_modules.vgg import VGG as VGG
from lightning_modules.zfnet import ZFNet as ZFNet
