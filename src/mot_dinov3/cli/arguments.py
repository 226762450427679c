"""The parser of a command: options derived from the stages' configs, and the configuration they fill."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from mot_dinov3.cli.aliases import suggestion
from mot_dinov3.core.compat import override
from mot_dinov3.core.errors import UsageError
from mot_dinov3.core.files import user_path
from mot_dinov3.core.option_values import read_toml
from mot_dinov3.core.options import Option, assemble, help_of, options_of

MANY = 20  # options, beyond which the help of a command shows the common ones only

C = TypeVar("C")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError`, with the closest option, instead of exiting.

    Args:
        prog: The program and the command.
        usage: The line of the help.
        description: The command in a few sentences.
        whole: Makes the parser that ``--help-all`` prints; None for that one, whose help has all options.

    Attributes:
        configured: The options of the command's config, by flag.
        common: Other options that every help shows.
        renamed: Earlier names of other options → their names.
    """

    def __init__(
        self,
        prog: str = "",
        usage: str | None = None,
        description: str | None = None,
        *,
        whole: Callable[[], argparse.ArgumentParser] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(prog=prog or None, usage=usage, description=description, allow_abbrev=False, **more)
        self.configured: dict[str, Option] = {}
        self.common = ["--help", "--help-all", "--config"]
        self.renamed: dict[str, str] = {}
        self._is_short = whole is not None
        if self.add_help:
            help = "show all options and exit"
            self.add_argument("--help-all", action=_HelpAll, nargs=0, whole=whole or (lambda: self), help=help)

    @property
    def aliases(self) -> dict[str, str]:
        """Earlier names of the options → their names; a name that an option of this command has is none."""
        own = {alias: known.flag for known in self.configured.values() for alias in known.alias_flags}
        return {
            alias: flag for alias, flag in {**own, **self.renamed}.items() if alias not in self._option_string_actions
        }

    @property
    def positional(self) -> str:
        """The option whose value is a word without an option's name; empty where there is none."""
        if any(not action.option_strings for action in self._actions):
            return ""
        return next((flag for flag, known in self.configured.items() if known.spec.positional), "")

    def shorten_help(self) -> None:
        """Leave out of the help what is not common, where a command has many options."""
        if not self._is_short or len(self.configured) <= MANY:
            return
        hidden = [action for action in self._actions if not self._is_common(action)]
        for action in hidden:
            action.help = argparse.SUPPRESS
        self.epilog = f"{self.prog} --help-all shows {len(hidden)} more options."

    def _is_common(self, action: argparse.Action) -> bool:
        flag = action.option_strings[-1] if action.option_strings else ""
        known = self.configured.get(action.option_strings[0]) if flag else None
        return not flag or action.required or flag in self.common or (known is not None and known.spec.common)

    @override
    def error(self, message: str) -> NoReturn:
        """Raise for a wrong command line."""
        remedy = f"{self.prog} --help lists the options"
        if message.startswith("unrecognized arguments:"):
            unknown = message.split()[2].split("=")[0]
            known = [*self._option_string_actions, "--version"]
            message = f"unexpected '{unknown}'"
            if unknown.startswith("-"):
                outputs = [flag for flag, option in self.configured.items() if option.spec.writes]
                message = f"unknown option '{unknown}'{suggestion(unknown, known, self.aliases, outputs)}"
            elif self.positional == "--source":
                remedy = f"one source a run; batch processes several videos\n{remedy}"
        raise UsageError(message, remedy=remedy)


class _HelpAll(argparse.Action):
    """Prints the help of a parser with all options, and exits."""

    def __init__(self, *words: Any, whole: Callable[[], argparse.ArgumentParser], **more: Any) -> None:
        super().__init__(*words, **{**more, "dest": argparse.SUPPRESS, "default": argparse.SUPPRESS})
        self._whole = whole

    @override
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        self._whole().print_help()
        parser.exit()


def add_command_arguments(parser: Parser, command: ModuleType) -> None:
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
    """Add ``--list-…``, in whose place the program prints `lines`; of a mapping, names and hints in two columns."""
    if isinstance(lines, Mapping):
        width = max(map(len, lines))
        lines = [f"{entry:<{width}}  {hint}" for entry, hint in lines.items()]
    parser.add_argument(f"--list-{name}", dest="lists", action="append_const", const=lines, help=help)


def add_config_options(parser: Parser, config: type) -> None:
    """Add ``--config``, an option for every field of a command's config class, and ``--cpu`` for a ``--device``."""
    parser.add_argument(
        "--config", metavar="FILE.toml", help="TOML file of option values; the command line takes precedence"
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in options_of(config):
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        _add(groups[option.group], option)
        parser.configured[option.flag] = option
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
        nargs="?" if spec.bare else None,
        const=spec.auto if spec.bare else None,
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
