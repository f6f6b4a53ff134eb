"""What a run leaves behind: each file of its directory is named, written and read in one module of this room.

`layout` has the names of all files and folders, `files` the one way of writing and reading them: `write_whole` and
`whole_file` leave a file whole or as it was, `read_text`, `read_json` and `read_yaml` take only regular files of a
bounded size and raise `UnreadableError`. Above them, a module for each kind of record:

| module | file | write | read |
|---|---|---|---|
| `config` | config.yaml | `write_config` | `read_config`, `class_name`, `arguments_of` |
| `summary` | summary.json | `Summary.write` | `Summary.read`; `Summary.of` for the same from another source |
| `metrics` | metrics.csv | `write_metrics`, `append_row` | `read_metrics` |
| `curves` | metrics.csv | | `read_history`: the learning curve; `holds_accuracy` |
| `measures` | measures.json | `add_measurement` | `read_measurements` |
| `class_errors` | class_errors.json | `ClassErrors.write` | `ClassErrors.read_if_any` |
| `gradient_flow` | gradient_flow.json | `GradientFlow.write` | `GradientFlow.read_if_any` |
| `checkpoints` | checkpoints/, checkpoints.json | `write_digest`, `CheckpointIndex.write` | `best_checkpoints` |
| `weights` | any file of tensors | | `read_weights`, which verifies and runs nothing of it |

The room imports nothing else of this project, and no PyTorch: a table of runs must not wait for it.
"""
