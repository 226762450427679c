"""Command-line options derived from the stages' configs, and the configuration they fill."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, TypeVar

from mot_dinov3.core.files import user_path
from mot_dinov3.core.options import Option, assemble, help_of, options_of, read_toml

C = TypeVar("C")


def add_command_arguments(parser: argparse.ArgumentParser, command: ModuleType) -> None:
    """Add the arguments of a command: its ``OPTIONS``, others, and an option for each of its ``LISTS``."""
    if hasattr(command, "OPTIONS"):
        add_config_options(parser, command.OPTIONS)
    if hasattr(command, "add_arguments"):
        command.add_arguments(parser)
    for name, names in getattr(command, "LISTS", {}).items():
        add_list(parser, name, names)


def add_list(
    parser: argparse.ArgumentParser, name: str, lines: Iterable[str], *, help: str = "print the valid names and exit"
) -> None:
    """Add ``--list-…``, in whose place the program prints `lines`."""
    parser.add_argument(f"--list-{name}", dest="lists", action="append_const", const=lines, help=help)


def add_config_options(parser: argparse.ArgumentParser, config: type) -> None:
    """Add ``--config``, an option for every field of a command's config class, and ``--cpu`` for a ``--device``."""
    parser.add_argument(
        "--config", metavar="FILE.toml", help="TOML file of option values; the command line takes precedence"
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in options_of(config):
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        _add(groups[option.group], option)
    if any(option.key == "device" and option.default != "cpu" for option in options_of(config)):
        parser.add_argument(
            "--cpu",
            dest="device",
            action="store_const",
            const="cpu",
            default=argparse.SUPPRESS,
            help="short for --device cpu",
        )


def _add(group: argparse._ArgumentGroup, option: Option) -> None:
    spec, shown = option.spec, help_of(option).replace("%", "%%")
    if option.type is bool:
        group.add_argument(
            option.flag, dest=option.key, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=shown
        )
        return
    repeated = option.type is tuple
    group.add_argument(
        option.flag,
        dest=option.key,
        action="append" if repeated else "store",
        type=str if repeated else _reader(option),
        choices=spec.choices,
        default=argparse.SUPPRESS,
        metavar=spec.metavar or (None if spec.choices else option.type.__name__.upper()),
        help=shown,
    )


def _reader(option: Option) -> Callable[[str], Any]:
    """Return what reads an option's text: its type, which may know the word ``auto``."""
    auto = option.spec.auto
    if auto is None:
        return option.type

    def read(text: str) -> Any:
        try:
            return auto if text.lower() == "auto" else option.type(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number or auto, got '{text}'") from None

    return read


def read_config(args: argparse.Namespace, config: type[C]) -> C:
    """Return a command's config with its `option_values`; raises what `assemble` does, too."""
    return assemble(config, option_values(args, config))


def option_values(args: argparse.Namespace, config: type) -> dict[str, Any]:
    """Return the options that the TOML file and the command line name, by key; the command line wins.

    Raises:
        ConfigError: The file cannot be read, or has an unknown option or a value of the wrong type.
    """
    options = options_of(config)
    values = read_toml(user_path(args.config), options) if args.config else {}
    given = {option.key: getattr(args, option.key) for option in options if hasattr(args, option.key)}
    return values | {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
