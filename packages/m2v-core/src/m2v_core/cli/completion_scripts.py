"""Scripts for completion, made of all commands and options: m2v itself does not run when a key is pressed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence

from m2v_core.cli.completion_tree import Argument, Level

_HEAD = "# Completion of the command m2v in {0}, made by: m2v completion {0}\n"


def bash(levels: Sequence[Level]) -> str:
    """The script for bash: where it offers nothing, bash offers files; works with bash 3.2."""
    known, values, flags, words = [], [], [], []
    for level in levels:
        known += [f'"{level.name} {name}"' for name in level.commands]
        for option in level.options:
            pattern = "|".join(f'"{level.name} {flag}"' for flag in option.flags)
            if option.choices:
                values.append(f"{pattern}) _m2v_offer {shlex.quote(' '.join(option.choices))}; return ;;")
            elif option.takes_value:
                nothing = "" if option.is_path else '_m2v_offer ""; '
                values.append(f"{pattern}) {nothing}return ;;")
        offered = " ".join(flag for option in level.options for flag in option.flags)
        flags.append(f'"{level.name}") _m2v_offer "{offered}" ;;')
        if offered := " ".join([*level.commands, *(word for each in level.arguments for word in each.choices)]):
            words.append(f'"{level.name}") _m2v_offer "{offered}" ;;')
        elif not any(each.is_path for each in level.arguments):
            words.append(f'"{level.name}") _m2v_offer "" ;;')
    return f"""{_HEAD.format("bash")}
_m2v_offer() {{
    compopt +o default +o bashdefault 2>/dev/null
    COMPREPLY=($(compgen -W "$1" -- "$current"))
}}

_m2v() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} at=m2v i
    COMPREPLY=()
    if [[ $current == "=" ]]; then current=""; fi
    if [[ $previous == "=" ]]; then previous=${{COMP_WORDS[COMP_CWORD - 2]}}; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$at ${{COMP_WORDS[i]}}" in
            {"|".join(known)}) at="$at ${{COMP_WORDS[i]}}" ;;
        esac
    done
    case "$at $previous" in
{_indented(values, 8)}
    esac
    if [[ $current == -* ]]; then
        case "$at" in
{_indented(flags, 12)}
        esac
        return
    fi
    case "$at" in
{_indented(words, 8)}
    esac
}}

complete -o bashdefault -o default -F _m2v m2v
"""


def zsh(levels: Sequence[Level]) -> str:
    """The script for zsh, to be sourced after `compinit`, or as the file `_m2v` in a folder of `$fpath`."""
    known = "|".join(shlex.quote(f"{level.name} {name}") for level in levels for name in level.commands)
    cases = []
    for level in levels:
        specs = [spec for option in level.options for spec in _zsh_options(option)]
        if level.commands:
            shown = " ".join(f'{name}\\:"{_zsh_bare(text)}"' for name, text in level.commands.items())
            specs.append(_zsh_quoted(f"1:command:(({shown}))"))
        else:
            specs += [_zsh_quoted(f"*:argument:{action}") for action in _zsh_rest(level.arguments)]
        cases.append(f"({shlex.quote(level.name)}) _arguments -s {' '.join(specs)} ;;")
    return f"""#compdef m2v
{_HEAD.format("zsh")}
_m2v() {{
    local at=m2v
    integer depth=1
    while (( depth + 1 < CURRENT )); do
        case "$at ${{words[depth + 1]}}" in
            ({known}) at="$at ${{words[depth + 1]}}"; (( depth += 1 )) ;;
            (*) break ;;
        esac
    done
    words=("$at" "${{(@)words[depth + 1, -1]}}")
    (( CURRENT -= depth - 1 ))
    case "$at" in
{_indented(cases, 8)}
    esac
}}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _m2v "$@"
else
    compdef _m2v m2v
fi
"""


def _zsh_options(option: Argument) -> Iterable[str]:
    """An option's specifications for `_arguments`, one for each of its names."""
    value = ""
    if option.takes_value:
        action = f"({' '.join(option.choices)})" if option.choices else "_files" if option.is_path else " "
        value = f":value:{action}"
    for flag in option.flags:
        sign = "=" if option.takes_value and flag.startswith("--") else ""
        yield _zsh_quoted(f"*{flag}{sign}[{_zsh_text(option.help)}]{value}")


def _zsh_rest(arguments: Sequence[Argument]) -> Iterable[str]:
    choices = [word for each in arguments for word in each.choices]
    if choices:
        yield f"({' '.join(choices)})"
    elif any(each.is_path for each in arguments):
        yield "_files"


def _zsh_text(text: str) -> str:
    """A description in brackets."""
    return "".join(f"\\{sign}" if sign in "[]:\\" else sign for sign in text)


def _zsh_bare(text: str) -> str:
    """A description in double quotes, without what these leave a meaning."""
    return "".join(sign for sign in text if sign not in '"$`\\')


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def fish(levels: Sequence[Level]) -> str:
    """The script for fish."""
    known = " ".join(shlex.quote(f"{level.name} {name}") for level in levels for name in level.commands)
    lines = []
    for level in levels:
        start = f"complete -c m2v -n {shlex.quote(f'__m2v_at {level.name}')}"
        for name, text in level.commands.items():
            lines.append(f"{start} -f -a {name} -d {_fish_text(text)}")
        for argument in level.arguments:
            if argument.choices:
                lines.append(f"{start} -f -a {shlex.quote(' '.join(argument.choices))}")
        if not level.commands and not any(argument.is_path for argument in level.arguments):
            lines.append(f"{start} -f")
        for option in level.options:
            names = " ".join(f"-l {f[2:]}" if f.startswith("--") else f"-s {f[1:]}" for f in option.flags)
            value = f" -x -a {shlex.quote(' '.join(option.choices))}" if option.choices else ""
            if option.takes_value and not value:
                value = " -r -F" if option.is_path else " -x"
            lines.append(f"{start} {names}{value} -d {_fish_text(option.help)}")
    return f"""{_HEAD.format("fish")}
function __m2v_at
    set -l words (commandline -opc)
    set -e words[1]
    set -l at m2v
    for word in $words
        switch "$at $word"
            case {known}
                set at "$at $word"
        end
    end
    test "$at" = "$argv"
end

{_indented(lines, 0)}
"""


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _indented(lines: Iterable[str], width: int) -> str:
    return "\n".join(" " * width + line for line in lines)


#: The script of each shell.
SCRIPTS: dict[str, Callable[[Sequence[Level]], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
