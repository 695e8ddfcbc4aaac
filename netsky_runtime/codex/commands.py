"""The words that a command in an approval is executed as, where that is certain.

Pure. Codex shows a command as an argument vector or as the text that quoting one gives, mostly
around a shell: ``/bin/bash -lc 'pytest -x'`` (0.120 to 0.169). A rule may only ever answer what
is certain, so there is no shell grammar here but a part of it that every shell reads alike:
words of plain characters and of quotes in which nothing is special. Everything else is held.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any, Final, NoReturn

from netsky_runtime.beside import beside
from netsky_runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SHELLS: Final = frozenset(
    f"{folder}{shell}" for folder in ("", "/bin/", "/usr/bin/") for shell in ("bash", "sh", "zsh")
)
_SHELL_FLAGS: Final = frozenset({"-lc", "-c"})
_KEYWORDS: Final = (
    *("if", "then", "else", "elif", "fi", "case", "esac", "for", "select", "while", "until"),
    *("do", "done", "in", "function", "time", "coproc", "repeat", "foreach", "end", "-"),
    *("nocorrect", "noglob"),
)
_BUILT_IN: Final = """
. : [ alias autoload bg bind bindkey break builtin bye caller cd chdir command compadd
comparguments compcall compctl compdescribe compfiles compgen compgroups complete compopt
compquote compset comptags comptry compvalues continue declare dirs disable disown echotc echoti
emulate enable eval exec exit export fc fg float functions getln getopts hash help history
integer jobs kill let limit local log logout mapfile popd print printf private pushd pushln r
read readarray readonly rehash return sched set setopt shift shopt source suspend test times
trap ttyctl type typeset ulimit umask unalias unfunction unhash unlimit unset unsetopt vared
wait whence where which zcompile zformat zle zmodload zparseopts zregexparse zstyle
"""
_NO_PROGRAMS: Final = frozenset((*_KEYWORDS, *_BUILT_IN.split()))
"""First words that no program is started by: keywords, and what bash, dash and zsh do themselves.
Many of these read a word as a script or as arithmetic, where a substitution is carried out however
it was quoted: ``test -v 'a[$(id)]'``. Of the others ``echo``, ``pwd``, ``true`` and ``false`` are
left out, which read nothing."""
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"$`\\!]*\"")
# No ~ { } * ? [ ] ! ^ # & | ; < > ( ) $ ` \ and nothing that is not ASCII.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:=@%+,-]+")


class Held(UsageError):
    """It is not certain what would be executed; the message says why."""


def split(text: str) -> tuple[str, ...]:
    """Return the words of one simple command, as every POSIX shell would execute them.

    Raises ``Held`` for everything else: operators, redirections, substitutions, variables,
    globs, braces, ``~``, backslashes, comments, assignments before the command, tabs and
    newlines, characters that cannot be seen.
    """
    words: list[str] = []
    word: str | None = None
    at = 0
    while at < len(text):
        if text[at] == " ":
            if word is not None:
                words.append(word)
            word, at = None, at + 1
            continue
        if found := _PLAIN.match(text, at):
            part = found[0]
            if not word and part.startswith("="):  # zsh puts a program's path here
                _hold(part)
        elif found := _QUOTED.match(text, at):
            part = found[0][1:-1]
            if not part.isprintable():
                _hold("a character that cannot be seen")
        else:
            _hold(text[at])
        word, at = (word or "") + part, found.end()
    if word is not None:
        words.append(word)
    _check_program(words)
    return tuple(words)


def executed(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words that accepting this request of Codex's has executed.

    ``raw`` is that of the ``APPROVAL_REQUESTED`` event, of any door. Raises ``Held``: also for
    what is shown as a command and is none, such as words typed into a running program, access to
    the network, or a command that would get more permissions than its sandbox has.
    """
    _check_plain_request(raw)
    told = raw.get("codex_command", raw.get("command"))
    if isinstance(told, list) and all(isinstance(word, str) for word in told):
        words = tuple(told)
        if not words or not all(word.isprintable() for word in words):
            _hold("a character that cannot be seen")
    elif isinstance(told, str):
        words = split(told)
    else:
        msg = "There is no command in it."
        raise Held(msg)
    return split(words[2]) if _is_wrapped(words) else words


def shown(told: Any) -> str:
    """Return a command as one would type it, without the shell around it: the same at every door.

    Only a shell that is known is left out, not ``python -c``; a text that is not understood stays
    as it is.
    """
    if isinstance(told, list):
        words: Sequence[str] = [str(word) for word in told]
        return words[2] if _is_wrapped(words) else shlex.join(words)
    text = str(told or "")
    try:
        words = split(text)
    except Held:
        return text
    return words[2] if _is_wrapped(words) else text


def _is_wrapped(words: Sequence[str]) -> bool:
    return len(words) == 3 and words[0] in _SHELLS and words[1] in _SHELL_FLAGS


def _check_program(words: Sequence[str]) -> None:
    if not words or not words[0]:
        msg = "There is no command in it."
        raise Held(msg)
    if "=" in words[0]:
        _hold("an assignment")
    if words[0].startswith(("-", "+")):  # `bash -c -x` takes it for an option of its own
        _hold("an option before the command")
    if words[0] in _NO_PROGRAMS:
        msg = f"{words[0]!r} is no program: a shell does it itself."
        raise Held(msg)


def _check_plain_request(raw: Mapping[str, Any]) -> None:
    if raw.get("approvalId"):
        msg = "It is asked for by a command that runs already."
        raise Held(msg)
    # A text for a running program's standard input comes in ``command`` too, with another kind.
    if more := beside(raw):
        msg = f"It asks for something else than to start a command here: {'; '.join(more)}."
        raise Held(msg)


def _hold(what: str) -> NoReturn:
    msg = f"It is not one plain command: there is {what!r} in it."
    raise Held(msg)
