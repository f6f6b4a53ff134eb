"""The faults that a run must survive, how each is injected, and the tests that do it; what `results/faults.md` lists.

A test is named by its file and function; a file alone stands for all of its tests. What nobody tests says why.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """A fault.

    Attributes:
        fault: What happens.
        injected: How the tests make it happen.
        tests: Where, from tests/ on.
        untested: Why no test injects it.
    """

    fault: str
    injected: str
    tests: tuple[str, ...] = ()
    untested: str = ""


KILL, STOPS, SIGNALS = "faults/test_kill.py", "faults/test_stops.py", "faults/test_signals.py"
WRITER = "faults/test_disk.py::test_a_kill_in_the_writer_leaves_the_newest_or_the_one_before"
DISK, HOSTILE, RANKS = "faults/test_disk.py", "faults/test_hostile_input.py", "faults/test_ranks_of_a_run.py"
NAMED = f"{RANKS}::test_the_rank_is_named_and_the_run_goes_on"
GONE = f"{RANKS}::test_after_a_signal_all_processes_are_gone_in_ten_seconds"
MISTAKES, COMMANDS = "faults/test_mistakes.py", "faults/test_commands_on_runs.py"
IN_MEMORY, IMAGENET = "datamodules/test_in_memory.py", "datamodules/imagenet"
WANDB, ONLINE, HOSTS = "experiment/test_wandb_logger.py", "faults/test_wandb_servers.py", "cluster/test_two_hosts.py"

ROWS: dict[int, Row] = {
    1: Row("rank 1 is killed", "kill -9 of itself, at 6 kinds of instants", (KILL, NAMED)),
    2: Row("rank 0 is killed", "likewise, and while a checkpoint gets its name", (KILL, NAMED)),
    3: Row("an error in one rank", "an exception before a step", (NAMED,)),
    4: Row("an error where a callback saves on exceptions", "ModelCheckpoint(save_on_exception=True)", (NAMED,)),
    5: Row("a kill in the writer", "kill -9 of a process that saves without end", (WRITER,)),
    6: Row("a kill in the writer, on another file system", "likewise in memory (tmpfs)", (WRITER,)),
    7: Row(
        "a full disk",
        "a tmpfs of 2 MB; /dev/full; ENOSPC at each call of the writer",
        (
            f"{DISK}::test_a_full_disk_ends_a_run_with_one_line_and_keeps_what_was_saved",
            "experiment/test_checkpoints.py::test_failed_save_leaves_what_was_there",
            "records/test_files.py::test_a_full_disk_is_an_error",
            f"{IMAGENET}/test_imagenet_prepare.py::test_a_full_disk_in_the_middle",
        ),
    ),
    8: Row(
        "a folder becomes read-only",
        "the file system is mounted anew; for another user than root, its mode",
        (
            f"{DISK}::test_a_disk_that_is_read_only_is_refused_at_the_start",
            "records/test_files.py::test_a_folder_that_is_read_only_is_an_error",
        ),
    ),
    9: Row(
        "a file system that is read-only",
        "mount -o remount,ro, for a new run and for one that goes on",
        (f"{DISK}::test_a_disk_that_is_read_only_is_refused_at_the_start",),
    ),
    10: Row("SIGTERM to one process", "in steps, validations, evaluations, before the first step", (SIGNALS, STOPS)),
    11: Row("SIGTERM to one rank of two", "to rank 1; under torchrun and Lightning's launcher", (SIGNALS, GONE)),
    12: Row("SIGTERM to torchrun", "to the agent, to all ranks", (GONE,)),
    13: Row("SIGUSR1 under SLURM", "scancel --signal=USR1 on a real SLURM", ("cluster/test_slurm.py",)),
    14: Row("SIGUSR1 outside SLURM", "within the optimizer's step; to one rank, to all", (SIGNALS, GONE)),
    15: Row(
        "a stop within an epoch",
        "at every batch; by steps, time, EarlyStopping, Ctrl+C",
        (f"{IN_MEMORY}::test_resumed_from_any_step_no_sample_is_lost_or_repeated", STOPS, COMMANDS),
    ),
    16: Row(
        "a stop within an epoch on several ranks",
        "at every batch on 1, 2 and 4 ranks; kills of two ranks",
        (f"{IN_MEMORY}::test_resumed_from_any_step_no_sample_is_lost_or_repeated", KILL),
    ),
    17: Row("a stop with dropout and augmentation", "both are in each run that is killed", (KILL,)),
    18: Row(
        "going on with another number of ranks",
        "2 to 1 and 1 to 2, with the same global batch",
        (
            "callbacks/scaling/test_ddp_scaling.py::test_a_run_resumed_on_another_number_of_ranks_goes_on_as_if_it_had_not_stopped",
        ),
    ),
    19: Row(
        "going on with other batches",
        "another batch size, seed, number of images or of batches",
        (
            f"{IN_MEMORY}::test_resuming_on_other_batches_is_refused",
            "experiment/test_cli.py::test_other_batches_than_the_checkpoints_are_refused",
            f"{COMMANDS}::test_what_contradicts_itself_is_refused",
        ),
    ),
    20: Row(
        "a truncated checkpoint",
        "cut at each KiB, with and without its SHA-256",
        (f"{DISK}::test_a_truncation_is_seen",),
    ),
    21: Row("an empty checkpoint", "0 bytes, and what is no checkpoint", (f"{HOSTILE}::test_checkpoints",)),
    22: Row("a flipped bit", "random bits, with and without its SHA-256", (f"{DISK}::test_a_flipped_bit_is_seen",)),
    23: Row("a checkpoint that runs code", "pickles of six protocols, in zips and alone", (HOSTILE,)),
    24: Row(
        "a checkpoint at an address", "--ckpt_path http://…", ("experiment/test_cli.py::test_refusals_are_one_line",)
    ),
    25: Row("a checkpoint that names a class", "signed, with more than data", (HOSTILE,)),
    26: Row(
        "a config that runs code",
        "tags of Python, class paths of unknown modules",
        (HOSTILE, "experiment/test_trusted_imports.py"),
    ),
    27: Row(
        "a wrong key", "misspelled, of other programs, at every level", (MISTAKES, "experiment/test_usage_errors.py")
    ),
    28: Row("a wrong value or class", "types, ranges, encodings, files", (MISTAKES, "faults/test_refused_commands.py")),
    29: Row(
        "a truncated JPEG",
        "in a tree, in shards, in archives",
        (
            f"{IMAGENET}/test_imagenet_data_module.py::test_a_truncated_photograph_of_a_tree_is_named",
            f"{IMAGENET}/test_imagenet_data_module.py::test_a_damaged_photograph_is_named",
        ),
    ),
    30: Row(
        "an empty image",
        "0 bytes among the archives' files",
        (f"{IMAGENET}/test_imagenet_prepare.py::test_broken_images_end_it_or_are_left_out",),
    ),
    31: Row(
        "a corrupt byte in a JPEG",
        "bytes of a prepared copy are changed",
        (f"{IMAGENET}/test_imagenet_prepared_copy.py::test_verify_names_what_has_changed",),
    ),
    32: Row(
        "CMYK, gray, PNG under another name",
        "each of them, beside PIL's pixels",
        (
            f"{IMAGENET}/test_imagenet_conversion.py::test_an_odd_file_is_named_and_its_pixels_are_right",
            "datamodules/photographs/test_decoder.py::test_a_png_under_another_name_is_read",
        ),
    ),
    33: Row(
        "a PNG of 16 bits",
        "among the odd files, and made up",
        (
            f"{IMAGENET}/test_imagenet_conversion.py::test_an_odd_file_is_named_and_its_pixels_are_right",
            f"{HOSTILE}::test_pictures",
        ),
    ),
    34: Row(
        "a photograph that says it is turned",
        "EXIF's tag of orientation",
        ("datamodules/photographs/test_decoder.py::test_the_tag_of_orientation_is_ignored",),
    ),
    35: Row(
        "a picture of too many pixels",
        "60,000 x 60,000 and more",
        (
            "datamodules/photographs/test_decoder.py::test_photographs_of_too_many_pixels_are_refused",
            f"{HOSTILE}::test_pictures",
        ),
    ),
    36: Row(
        "an empty class folder",
        "in a tree of photographs",
        (f"{IMAGENET}/test_imagenet_data_module.py::test_a_tree_that_is_not_as_it_should_be_is_refused",),
    ),
    37: Row(
        "a missing class folder",
        "in a tree, and in one that is prepared",
        (
            f"{IMAGENET}/test_imagenet_data_module.py::test_a_tree_that_is_not_as_it_should_be_is_refused",
            f"{IMAGENET}/test_imagenet_prepare.py::test_a_tree_that_is_not_complete",
        ),
    ),
    38: Row("a data set's pickle that runs code", "in the place of a batch of CIFAR", ("datamodules/test_pickles.py",)),
    39: Row(
        "an interrupted download", "the server breaks off; the process is killed", ("datamodules/test_download.py",)
    ),
    40: Row(
        "labels beyond the classes",
        "in the data, and by --model.num_classes",
        ("datamodules/test_mistakes.py", f"{IN_MEMORY}::test_data_that_does_not_fit_is_refused"),
    ),
    41: Row(
        "a batch larger than the data set",
        "--data.batch_size 2000 of 1200",
        (f"{IN_MEMORY}::test_batch_that_is_too_large_is_refused_when_training_begins", MISTAKES),
    ),
    42: Row(
        "a validation set that does not divide",
        "sizes 1 to 33, 1 to 4 ranks, batches of 1 to 8; main.py on 1, 2, 4 ranks",
        ("datamodules/test_loader.py", "experiment/test_distributed_evaluation.py"),
    ),
    43: Row(
        "a rank or a host that never comes",
        "one of two is not started",
        (
            f"{RANKS}::test_a_rank_that_does_not_come_is_named",
            f"{HOSTS}::test_a_host_that_never_comes_is_not_waited_for_for_ever",
        ),
    ),
    44: Row(
        "a network that is cut",
        "between two namespaces: netem loss 100 %, or the link down",
        (f"{HOSTS}::test_a_cut_cable_ends_both_hosts", f"{HOSTS}::test_a_run_under_fire_goes_on_to_the_same_weights"),
    ),
    45: Row(
        "a rank that is late, or stopped",
        "7 s in one step; SIGSTOP",
        (
            f"{RANKS}::test_a_late_rank_is_named_and_waited_for",
            f"{RANKS}::test_a_stopped_rank_is_named_whatever_started_it",
            NAMED,
        ),
    ),
    46: Row(
        "a port that is in use", "another socket listens there", (f"{RANKS}::test_a_port_that_is_in_use_is_named",)
    ),
    47: Row(
        "no key for W&B",
        "an empty environment",
        (f"{WANDB}::test_start_without_a_usable_server_is_offline_within_five_seconds",),
    ),
    48: Row(
        "W&B cannot be reached",
        "closed, silent, broken, hanging servers; one that ends in the middle or at the end",
        (f"{WANDB}::test_start_without_a_usable_server_is_offline_within_five_seconds", ONLINE),
    ),
    49: Row(
        "a second run in the same folder",
        "at once, after, by another process, of another host",
        ("experiment/test_run_directory.py", COMMANDS),
    ),
    50: Row(
        "a loss or weights of NaN",
        "in a step, the last one, gradients, a part of the validation",
        (
            "callbacks/training/test_stop_on_nan.py",
            "experiment/test_cli.py::test_a_loss_that_is_not_finite_ends_the_run_before_the_update",
        ),
    ),
    51: Row("a GAN that collapses", "a generator of one image", ("callbacks/gan/test_gan_measures_collapse.py",)),
    52: Row(
        "a GAN's steps, of two optimizers",
        "kills and resumes of GANs",
        (KILL, "lightning_modules/gan/test_gan_on_ranks.py::test_batches_are_counted_and_not_optimizers"),
    ),
    53: Row(
        "a process that reads data is killed",
        "kill -9 of a worker; what PyTorch says of one",
        (
            f"{IMAGENET}/test_imagenet_prepare_kill.py::test_a_worker_that_is_killed_ends_it_with_a_sentence",
            "experiment/test_failures.py",
        ),
    ),
    54: Row("a rank without memory", "the errors of PyTorch and of the system", ("experiment/test_failures.py",)),
    55: Row(
        "a clock that jumps",
        "an older checkpoint is touched",
        ("experiment/test_checkpoints.py::test_newest_is_by_the_step_inside",),
    ),
    56: Row(
        "metrics after a kill",
        "kills at random instants and at each row",
        (KILL, "experiment/test_csv_logger.py::test_resumed_run_has_the_rows_of_an_undisturbed_one"),
    ),
    57: Row(
        "torch and torchvision that do not match",
        "other versions, and the error of their import",
        ("experiment/test_installation.py",),
    ),
}


class Goal(NamedTuple):
    """What must be true.

    Attributes:
        goal: In words.
        tests: That show it, from tests/ on.
    """

    goal: str
    tests: tuple[str, ...]


GOALS = (
    Goal(
        "a run killed 20 times ends with the bits of one that never was: a CNN and a GAN, on one and on two ranks",
        (KILL,),
    ),
    Goal(
        "kills in the writer, full and read-only disks: the newest checkpoint always verifies",
        (WRITER, *ROWS[7].tests[:1], *ROWS[9].tests),
    ),
    Goal("every sample once, wherever a run stops, on 1, 2 and 4 ranks", ROWS[15].tests[:1]),
    Goal("SIGTERM and SIGUSR1 to one rank, to all, to the launcher: saved, and gone in 10 s", (SIGNALS, GONE)),
    Goal(
        "no silent hang: a rank that is killed, stopped or missing is named, and all are gone in 120 s",
        (NAMED, f"{RANKS}::test_a_stopped_rank_is_named_whatever_started_it", *ROWS[43].tests, *ROWS[44].tests),
    ),
    Goal(
        "no silent success: code 0 only if the steps ran and are finite",
        (*ROWS[50].tests, "faults/test_refused_commands.py"),
    ),
    Goal(
        "flipped bits and truncations are seen, and an earlier checkpoint is taken", (*ROWS[22].tests, *ROWS[20].tests)
    ),
    Goal("evaluation is exact for each size, number of ranks and batch", ROWS[42].tests),
    Goal(
        "hostile input runs no code, hangs nothing and gets one line",
        (HOSTILE, "comparison/test_hostile_runs.py", "datamodules/test_pickles.py"),
    ),
    Goal(
        "loggers cannot hurt: the weights of a run without W&B, and a log that syncs",
        (WANDB, ONLINE, "experiment/test_wandb_online.py"),
    ),
)
