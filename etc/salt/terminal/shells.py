"""What bash, zsh and fish read so that they ask `saltlite complete` what may come next."""

from saltlite import leaf_files

LINKED = ("salt", "salt-call", "salt-cp", "salt-key", "salt-master", "salt-minion", "salt-run")  # as Salt's are called
PROGRAMS = ("saltlite", *(name for name in LINKED if name.removeprefix("salt-") in leaf_files("commands")))

# A word that stands alone and ends in a dot or a slash is not whole yet, so no blank follows it.
BASH = """# bash completion of saltlite
_saltlite() {
    local IFS=$'\\n'
    COMPREPLY=($(@SALTLITE@ complete --shell bash -- "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[./] ]] && compopt -o nospace
}
complete -o bashdefault -o default -F _saltlite @PROGRAMS@
"""
ZSH = """#compdef @PROGRAMS@
_saltlite() {
    local -a found whole part
    found=("${(@f)$(@SALTLITE@ complete -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)}")
    part=(${(M)found:#*[./]})
    whole=(${found:#*[./]})
    (( ${#part} + ${#whole} )) || { _files; return; }
    (( ${#part} )) && compadd -S '' -- $part
    (( ${#whole} )) && compadd -- $whole
}
_saltlite "$@"
"""
FISH = """# fish completion of saltlite
function __saltlite_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (@SALTLITE@ complete -- $words 2>/dev/null)
    if set -q found[1]
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
for program in @PROGRAMS@
    complete -c $program -f -a '(__saltlite_complete)'
end
"""


def script(text: str, saltlite: str) -> str:
    """One of these, for the program whose path is given."""
    return text.replace("@SALTLITE@", saltlite).replace("@PROGRAMS@", " ".join(PROGRAMS))
