"""What jsonargparse's messages mean, in one line each."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from lightning.pytorch import LightningDataModule, LightningModule

from experiment.trusted_imports import EXCEPTION, VARIABLE

# The options of a class are checked by a parser of their own, whose error jsonargparse buries among those of the
# parsers around it: the marks let them find its sentence again.
MARK = "\x1f"
WORDS = {int: "an integer", float: "a number", str: "a string", NoneType: "null"}
SCALARS = {int, float, str, "true"}
BOILERPLATE = (
    r"Expected a|Does not validate|Subtypes: |Errors:|Given value|Parser key|Problem with|Type .* expects a|"
    r"Not a valid|--|Subclass types expect|a class path |a dict with"
)


USUAL_NAMES = {
    "lr": "model.optimizer.init_args.lr",
    "learning_rate": "model.optimizer.init_args.lr",
    "momentum": "model.optimizer.init_args.momentum",
    "weight_decay": "model.optimizer.init_args.weight_decay",
    "optimizer": "model.optimizer",
    "scheduler": "model.lr_scheduler",
    "batch_size": "data.batch_size",
    "num_workers": "data.num_workers",
    "workers": "data.num_workers",
    "data_dir": "data.root",
    "root": "data.root",
    "epochs": "trainer.max_epochs",
    "steps": "trainer.max_steps",
    "gpus": "trainer.devices",
    "seed": "seed_everything",
    "output_dir": "run_dir",
    "output": "run_dir",
    "checkpoint": "ckpt_path",
    "ckpt": "ckpt_path",
    "pretrained": "model.weights",
    "weights": "model.weights",
    "arch": "model",
    "dataset": "data",
}
"""What other programs call the options."""


def explain(message: str, options: Mapping[str, Any], owner: type | None = None) -> str:
    """Say in one line what is wrong and what was probably meant.

    Args:
        message: The message of jsonargparse.
        options: Type hint by name, of the options of the parser that complains.
        owner: The class whose options they are, if the parser is that of one class.

    Returns:
        One line, which begins with the name of the option if one is to blame; the whole message where none of the
        rules below knows it.
    """
    if MARK in message:
        key = re.search(r'Parser key "([^"]+)"', message)
        sentence = message.split(MARK)[1]
        return sentence if not key or sentence.startswith("seed_everything") else f"{key[1]}.{sentence}"
    for pattern, explained in (
        (r"unrecognized arguments: (?P<word>\S+)", lambda m: _unknown_word(m["word"], options)),
        (r"option '(?P<key>[^']+)'", lambda m: _unknown_option(m["key"], options, owner)),
        (r"arguments are required: (?P<keys>.+)", lambda m: _missing(m["keys"].split(", "), owner)),
        (r"invalid choice: '(?P<word>.*)' \(choose from (?P<names>.+)\)", lambda m: _unknown_command(**m.groupdict())),
        (r"one of \{(.+)\}, but it was not", lambda m: f"no command is given: {_either(m[1].split(','))}"),
        (r"argument --(?P<key>\S+): expected", lambda m: f"{m['key']} needs a value"),
        (r"(?:File|Path) (?P<fault>[a-z ]+): '(?P<path>.+)'", lambda m: _wrong_file(Path(m["path"]), m["fault"])),
        (r"(?s)Problems parsing config: .*?(?P<problem>[^\n]+)\n\s+in [^\n]*(?P<place>line \d+, column \d+)\s*$",
         lambda m: f"{m['place']}: {m['problem']}"),
        (r'(?s)Parser key "seed".*Got value: (?P<value>True|False)',
         lambda m: f"seed_everything must be an integer, such as 42, not {m['value'].lower()}"),
        (r'(?s)key "(?P<key>[^"]+)".*Multiple subclasses with name (?P<name>\w+).*ambiguity: (?P<paths>[\w., ]+)\.',
         lambda m: f"{m['key']}: there are several of {m['name']}: give {_either(m['paths'].split(', '))}"),
        (r"Unexpected config: ", lambda m: "a config holds options, such as `trainer:`"),
        (r'(?:Parser key "|--)([^" ]+?)(?:\.help:|")', lambda m: _wrong_value(m[1], message, options.get(m[1]))),
    ):  # fmt: skip
        if match := re.search(pattern, message, re.IGNORECASE):  # its next release may begin with a capital letter
            return explained(match)
    return _flat(message)


def faults(message: str) -> list[str]:
    """The lines of a nested message that say what is wrong, not what else would have been right."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    return [line for line in lines if line and not re.match(BOILERPLATE, line, re.IGNORECASE)]


def _unknown_word(word: str, options: Iterable[str]) -> str:
    if not word.startswith("-"):
        return f"{word} is not expected: an option is --name value"
    return _unknown_option(word.lstrip("-").split("=")[0], options, None)


def _unknown_option(key: str, options: Iterable[str], owner: type | None) -> str:
    if key == "class_path":
        return "class_path stands beside other keys: put those under init_args"
    if owner in (LightningModule, LightningDataModule):
        return f"{key} is an option of no class yet: name the class before its options"
    if owner is None and key.lower() in USUAL_NAMES:
        return f"{key} is not an option{_did_you_mean(USUAL_NAMES[key.lower()])}"
    group, _, tail = key.rpartition(".")
    siblings = {option.rpartition(".")[2]: option for option in options if option.rpartition(".")[0] == group}
    by_tail = {option.rpartition(".")[2]: option for option in options}
    meant = siblings.get(_closest(tail, siblings)) or _closest(key, options) or by_tail.get(_closest(tail, by_tail))
    return f"{key} is not an option{f' of {owner.__name__}' if owner else ''}{_did_you_mean(meant)}"


def _missing(keys: list[str], owner: type | None) -> str:
    if owner is not None:
        return f"{_either(keys, 'and')} must be given to {owner.__name__}"
    names = [key.rsplit(".", 1)[-1] for key in keys]
    flags = _either([f"--{name}" for name in names], "and")
    return f"{_either(names, 'and')} must be given: with {flags}, or in a config"


def _unknown_command(word: str, names: str) -> str:
    commands = re.findall(r"\w+", names)
    return f"{word} is not a command{_did_you_mean(_closest(word, commands)) or f': {_either(commands)}'}"


def _wrong_file(path: Path, fault: str) -> str:
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    known = [str(file) for folder in (path.parent, *Path("configs").rglob("")) for file in folder.glob("*.y*ml")]
    by_name = {Path(file).name: file for file in known}
    meant = _closest(str(path), known) or by_name.get(_closest(path.name, by_name))
    return f"{path} {fault}{_did_you_mean(meant)}"


def _wrong_value(key: str, message: str, hint: Any) -> str:
    """Say which values the type hint of an option admits, or which class was meant."""
    value = (re.findall(r"(?:Given|Got) value: (.*)", message) or [""])[-1]
    if nested := re.match(r"NestedArg\(key='(\w+)'", value):
        return f"{key}.{nested[1]} is an option of no class yet: name the class before its options"
    class_path = re.search(
        r"dot import path string: (\S+)|given class_path '(.+?)'|callable class: .*?([\w.]+)'?\)?$", message, re.M
    )
    name = next(group for group in class_path.groups() if group) if class_path else value
    other_faults = [line for line in faults(message) if not re.match(r"No module named|.*has no attribute", line)]
    if denied := re.search(r"Importing '(.+?)' is not allowed", message):
        return f"{key}: {_untrusted(denied[1], hint)}"
    if "does not correspond to a subclass" in message:
        return f"{key} must be {_either([f'a {base.__name__}' for base in _classes(hint)])}, which {name} is not"
    if hint is None or not name or other_faults:
        return f"{key}: {(other_faults or [_flat(message)])[0]}"
    meant = _closest(name.rsplit(".", 1)[-1], _known_classes(hint))
    alternatives = list(dict.fromkeys(_alternatives(hint)))
    if class_path and (meant or (name.replace(".", "").isidentifier() and not SCALARS.intersection(alternatives))):
        path = "" if meant or "." in name else f": give its full path, such as my_package.my_module.{name}"
        return f"{key}: {name} is not a known class{_did_you_mean(meant)}{path}"
    words = list(dict.fromkeys(_word(alternative) for alternative in alternatives))
    meant = _closest(value, [word for word in words if " " not in word])
    return f"{key} must be {_either(words)}, not {value}{_did_you_mean(meant)}"


def _untrusted(path: str, hint: Any) -> str:
    module, _, name = path.rpartition(".")
    if path in ("lightning.LightningDataModule", "lightning.LightningModule"):
        kind, example = ("data", "data/digits") if "Data" in name else ("model", "model/resnet20")
        file = f"--config configs/{example}.yaml"
        return f"it has options but names no class: give its file, such as {file}, or --{kind} CLASS"
    meant = _closest(name, _known_classes(hint)) if module != EXCEPTION else None
    return (
        f"{path} is in no module whose classes a config may name{_did_you_mean(meant) or '.'} "
        f"If you trust it, set the environment variable {VARIABLE}={module}"
    )


def _known_classes(hint: Any) -> list[str]:
    return sorted({cls.__name__ for base in _classes(hint) for cls in _subclasses(base)})


def _alternatives(hint: Any) -> Iterator[Any]:
    """The types and literal values of a union."""
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    elif get_origin(hint) in (Union, UnionType):
        for argument in get_args(hint):
            yield from _alternatives(argument)
    elif hint is bool:
        yield from ("true", "false")
    else:
        yield hint


def _classes(hint: Any) -> Iterator[type]:
    """The classes of which an option takes a subclass."""
    if get_origin(hint) is Callable:
        yield from _classes(get_args(hint)[-1])
    elif get_args(hint) and get_origin(hint) is not Literal:
        for argument in get_args(hint):
            yield from _classes(argument)
    elif inspect.isclass(hint) and hint.__module__ != "builtins":
        yield hint


def _subclasses(base: type) -> Iterator[type]:
    subclasses: list[type] = base.__subclasses__()
    for cls in subclasses:
        yield cls
        yield from _subclasses(cls)


def _word(alternative: Any) -> str:
    if inspect.isclass(alternative):
        return WORDS.get(alternative, f"a {alternative.__name__}")
    names = [base.__name__ for base in _classes(alternative)]
    return f"a list of {_either(names)}" if names else str(alternative)


def _either(words: Sequence[str], last: str = "or") -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _closest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that is spelled most like the word, else one that begins with it, else nothing."""
    by_lower_case = {candidate.lower(): candidate for candidate in candidates}
    beginnings = [candidate for candidate in by_lower_case if len(word) > 2 and candidate.startswith(word.lower())]
    closest = get_close_matches(word.lower(), by_lower_case, n=1) or beginnings
    return by_lower_case[closest[0]] if closest else ""


def _flat(message: str) -> str:
    return " ".join(message.split())


def _did_you_mean(meant: str | None) -> str:
    return f"; did you mean {meant}?" if meant else ""
