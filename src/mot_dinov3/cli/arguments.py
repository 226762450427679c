"""Command-line options derived from the stages' configs, and the configuration they fill."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mot_dinov3.core.options import Option, help_of, options_of, read_toml


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


def option_values(args: argparse.Namespace, config: type) -> dict[str, Any]:
    """Return the options that the TOML file and the command line name, by key; the command line wins.

    Raises:
        ConfigError: The file cannot be read, or has an unknown option or a value of the wrong type.
    """
    options = options_of(config)
    values = read_toml(Path(args.config), options) if args.config else {}
    given = {option.key: getattr(args, option.key) for option in options if hasattr(args, option.key)}
    return values | {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
