"""Names of everything in a run's directory."""

CONFIG = "config.yaml"
SUMMARY = "summary.json"
METRICS = "metrics.csv"
CLASS_ERRORS = "class_errors.json"
GRADIENT_FLOW = "gradient_flow.json"
MEASURES = "measures.json"
SCALING = "scaling.json"
LOCK = "lock.json"
PREDICTIONS = "predictions.csv"
PROBABILITIES = "probabilities.npy"
CHECKPOINT_INDEX = "checkpoints.json"

CHECKPOINTS = "checkpoints"
PICTURES = "pictures"
WANDB = "wandb"

# Pictures that the comparison looks for; the names of others stand where they are drawn.
MOST_CONFUSED = f"{PICTURES}/most_confused.png"
FIRST_LAYER_FILTERS = f"{PICTURES}/first_layer_filters.png"
SAMPLES = f"{PICTURES}/samples.png"
