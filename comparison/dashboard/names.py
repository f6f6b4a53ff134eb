"""Names under which runs log what the dashboard shows.

They stand here again because importing the logger takes seconds; a test compares them with those of real runs.
"""

AXIS = "images_seen"
BEST_ACCURACY = "best/val_acc1"
BEST_LOSS = "best/val_loss"
TEST_ACCURACY = "test/acc1"
SECONDS = "wall_time_seconds"
SPEED = "images_per_second"

# Paths in the config of a run, as experiment.run_record gives it.
DATA_SET = "data.name"
ARCHITECTURE = "model.architecture"
PARAMETERS = "model.parameters.total"
MULTIPLY_ADDS = "model.multiply_adds"
DEPTH = "model.depth"
BATCH_SIZE = "global_batch_size"
LEARNING_RATE = "config.model.init_args.optimizer.init_args.lr"

CONFIG_COLUMNS = (
    DATA_SET,
    ARCHITECTURE,
    "model.parameters.conv",
    "model.parameters.fc",
    PARAMETERS,
    MULTIPLY_ADDS,
    DEPTH,
    LEARNING_RATE,
    BATCH_SIZE,
    "precision",
    "seed",
)
SUMMARY_COLUMNS = (TEST_ACCURACY, BEST_ACCURACY, "val/acc1", "val/acc5", BEST_LOSS, SPEED, SECONDS)

CURVES = {
    "Validation accuracy": "val/acc1",
    "Validation loss": "val/loss",
    "Training loss": "train/loss",
    "Training accuracy": "train/acc1",
}
SPEED_CURVES = {
    "Images per second": "throughput/images_per_second",
    "Peak memory, GiB": "throughput/peak_memory_gib",
}
GAN_CURVES = {
    "Loss of the generator": "train/loss_generator",
    "Loss of the discriminator": "train/loss_discriminator",
}

INSIDE_PICTURES = {
    "Filters of the first layer": "pictures/first_layer_filters",
    "Classes confused most": "pictures/most_confused",
    "Class activation maps": "pictures/class_activation_maps",
    "Gradients by layer": "pictures/gradient_flow",
    "Activations by layer": "pictures/activation_statistics",
}
# Names end in that of the network of features, such as inception or resnet8.
GAN_MEASURES = {
    "Fréchet distance (FID)": "^val/fid_[a-z0-9]+$",
    "Kernel distance (KID)": "^val/kid_(?!std)[a-z0-9]+$",
    "Inception or classifier score": "^val/(inception|classifier)_score[a-z0-9_]*(?<!_std)$",
    "Precision, recall, density, coverage": "^val/(precision|recall|density|coverage)_[a-z0-9]+$",
}
GAN_PICTURES = {
    "Samples": "pictures/samples",
    "Between two latents": "pictures/interpolation",
    "Nearest training images": "pictures/nearest",
}
