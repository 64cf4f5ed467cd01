"""Archives: tar, gzip and zip. What is unpacked stays in the directory it is unpacked into.

tar, gzip, zip and unzip of this machine run as lists of words, never through a shell. `zip`, `unzip` and `list` need no
program. An archive that would lead out of its directory, by a name or by a link in it, is refused before anything is
written."""

from __future__ import annotations

import contextlib
import glob
import os
import posixpath
import re
import secrets
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from salt.exceptions import CommandExecutionError, SaltInvocationError

__salt__: Mapping[str, Any]

__func_alias__ = {"list_": "list", "zip_": "zip"}

TRIMMED = 100  # names that are given with trim_output=True
FORMATS = {  # how a name ends -> what it is
    "tar": "tar tar.gz tgz tar.bz2 tbz2 tbz tar.xz txz tar.lzma tlz tar.z tar.zst".split(),
    "zip": "zip".split(),
}


def _sources(sources: Any) -> list[str]:
    """What is to be packed: a text with commas, or a list; globs are filled in, and what they find
    is never taken for an option."""
    words = sources if isinstance(sources, (list, tuple)) else str("" if sources is None else sources).split(",")
    found: list[str] = []
    for word in (str(word).strip() for word in words):
        if re.search(r"[*?[]", word):
            found += [_file(name) for name in sorted(glob.glob(word))]
        elif word:
            found.append(word)
    return found


def _run(command: list[Any], test: bool, **how: Any) -> list[str]:
    """The lines that a program prints, whose exit code becomes the job's."""
    words = [str(word) for word in command]
    if not shutil.which(words[0]):
        raise CommandExecutionError(f"{words[0]} is not installed on this machine.")
    if test:
        return [f"Would run: {shlex.join(words)}"]
    return __salt__["cmd.run"](words, python_shell=False, **how).splitlines()


def _file(name: Any) -> str:
    """A file's name, which no program takes for an option."""
    text = str(name)
    return f"./{text}" if text.startswith("-") else text


def _trimmed(names: list[str], trim_output: Any) -> list[str]:
    count = TRIMMED if trim_output is True else trim_output
    if count is False or len(names) <= int(count):
        return names
    return [*names[: int(count)], f"List trimmed after {int(count)} files."]


def _listed(words: Any) -> list[str]:
    """A list, or a text with commas."""
    found = words if isinstance(words, (list, tuple)) else str("" if words is None else words).split(",")
    return [str(word).strip() for word in found if str(word).strip()]


@contextlib.contextmanager
def _as_user(name: Any) -> Iterator[None]:
    """Files are read and written with another user's rights."""
    if not name:
        yield
        return
    import pwd

    try:
        user = pwd.getpwnam(str(name))
    except KeyError:
        raise SaltInvocationError(f"User '{name}' does not exist") from None
    before = os.geteuid(), os.getegid(), os.getgroups()
    try:
        if before[0] == 0:
            os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
        os.setegid(user.pw_gid)
        os.seteuid(user.pw_uid)
        yield
    except PermissionError as error:
        raise CommandExecutionError(f"{name} may not: {error}") from None
    finally:
        os.seteuid(before[0])
        os.setegid(before[1])
        if before[0] == 0:
            os.setgroups(before[2])


# Programs of this machine


def tar(options, tarfile, sources=None, dest=None, cwd=None, template=None, runas=None, test=False):
    """Run tar: the lines that it prints.

    options
        of tar, with or without a dash: `czf`, `xf`, `--exclude=x -cf`
    tarfile
        the archive
    sources
        what to pack or unpack: a text with commas, or a list; globs are filled in
    dest
        the directory to unpack into
    cwd
        the directory to run in
    template
        jinja: fill in the words first
    runas
        the user to run as
    test
        True: say what would be run

    CLI Example:
        salt '*' archive.tar cjf /tmp/tarfile.tar.bz2 /tmp/file_1,/tmp/file_2
        salt '*' archive.tar xf foo.tar dest=/target/directory"""
    if not options:
        raise SaltInvocationError("Tar options can not be empty")
    command = ["tar", *str(options).split(), tarfile, *(["-C", dest] if dest else []), *_sources(sources)]
    return _run(command, test, cwd=cwd, template=template, runas=runas)


def gzip(sourcefile, template=None, runas=None, options=None, test=False):
    """Run gzip, which packs a file and removes it: the lines that it prints.

    sourcefile
        the file
    template
        jinja: fill in the words first
    runas
        the user to run as
    options
        of gzip: '-9 --keep'
    test
        True: say what would be run

    CLI Example: salt '*' archive.gzip /tmp/sourcefile.txt options='-9 --verbose'"""
    return _run(["gzip", *shlex.split(options or ""), _file(sourcefile)], test, template=template, runas=runas)


def gunzip(gzipfile, template=None, runas=None, options=None, test=False):
    """Run gunzip, which unpacks a file and removes it: the lines that it prints.

    gzipfile
        the file, which ends in .gz
    template
        jinja: fill in the words first
    runas
        the user to run as
    options
        of gunzip: '--keep'
    test
        True: say what would be run

    CLI Example: salt '*' archive.gunzip /tmp/sourcefile.txt.gz"""
    return _run(["gunzip", *shlex.split(options or ""), _file(gzipfile)], test, template=template, runas=runas)


def cmd_zip(zip_file, sources, template=None, cwd=None, runas=None, test=False):
    """Run zip: the lines that it prints.

    zip_file
        the archive
    sources
        what to pack: a text with commas, or a list; globs are filled in
    template
        jinja: fill in the words first
    cwd
        the directory that relative sources lie in
    runas
        the user to run as
    test
        True: say what would be run

    CLI Example: salt '*' archive.cmd_zip /tmp/zipfile.zip /tmp/sourcefile1,/tmp/sourcefile2"""
    return _run(["zip", "-r", _file(zip_file), *_sources(sources)], test, cwd=cwd, template=template, runas=runas)


def cmd_unzip(
    zip_file,
    dest,
    excludes=None,
    options=None,
    template=None,
    runas=None,
    trim_output=False,
    password=None,
    test=False,
):
    """Run unzip: the lines that it prints. It never asks, and what is there already stays, but with options=o.

    zip_file
        the archive
    dest
        the directory to unpack into
    excludes
        names not to unpack: a text with commas, or a list
    options
        of unzip: `o` replaces files that are there
    template
        jinja: fill in the words first
    runas
        the user to run as
    trim_output
        how many lines to give; True: 100
    password
        of the archive; other users of this machine can see it while unzip runs, so use archive.unzip
    test
        True: say what would be run

    CLI Example: salt '*' archive.cmd_unzip /tmp/zipfile.zip /home/strongbad/ excludes=file_1,file_2"""
    flags = str(options or "")
    command = [
        "unzip",
        *(["-P", password] if password else []),
        *([flags if flags[0] == "-" else f"-{flags}"] if flags else []),
    ]
    command += [_file(zip_file), "-d", dest, *(["-x", *_listed(excludes)] if excludes else [])]
    if test or not shutil.which("unzip"):
        return _run(command, test)
    words = [str(word) for word in command]
    how = {"template": template, "runas": runas, "redirect_stderr": True, "stdin": ""}
    found = __salt__["cmd.run_all"](words, python_shell=False, output_loglevel="quiet" if password else "debug", **how)
    if found["retcode"] != 0:
        raise CommandExecutionError(found["stdout"])
    return _trimmed(found["stdout"].splitlines(), trim_output)


# zip, by Python's own module


def zip_(zip_file, sources, template=None, cwd=None, runas=None, zip64=False, test=False):
    """Pack files into a zip archive, which is there whole or not at all: the names in it.

    zip_file
        the archive; one that is there is replaced
    sources
        files and directories, absolute: a text with commas, or a list; globs are filled in
    template
        is refused: archive.cmd_zip fills in templates
    cwd
        the directory that relative sources lie in, absolute; names in the archive begin below it
    runas
        the user whose rights count
    zip64
        True: allow an archive of more than 2 GB, which old programs cannot read
    test
        True: give the names, and pack nothing

    CLI Example: salt '*' archive.zip /tmp/zipfile.zip /tmp/sourcefile1,/tmp/sourcefile2"""
    import zipfile

    if template:
        raise SaltInvocationError("archive.zip fills in no template: use archive.cmd_zip.")
    if cwd and not os.path.isabs(str(cwd)):
        raise SaltInvocationError("cwd must be absolute")
    found = _sources(sources)
    if not cwd and not all(map(os.path.isabs, found)):
        raise SaltInvocationError("Relative paths require the 'cwd' parameter")
    top, paths = cwd or "/", [os.path.join(cwd or "/", name) for name in found]
    for path in paths:
        if not os.path.exists(path):
            raise CommandExecutionError(f"{path} is not there, so nothing was packed.")
    with _as_user(runas):
        members = [member for path in paths for member in _members(path, top)]
        if test:
            return [name for name, _ in members]
        target = os.path.join(os.path.realpath(os.path.dirname(zip_file)), os.path.basename(zip_file))  # a link goes
        beside = f"{target}.{secrets.token_hex(4)}"
        try:
            with zipfile.ZipFile(beside, "x", zipfile.ZIP_DEFLATED, bool(zip64)) as archive:
                for name, path in members:
                    if os.path.realpath(path) not in (target, beside):
                        archive.write(path, name)
            os.rename(beside, target)
        except (OSError, ValueError, zipfile.LargeZipFile) as error:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise CommandExecutionError(f"Exception encountered creating zipfile: {error}") from None
    return [name for name, _ in members]


def _members(path: str, top: str) -> Iterator[tuple[str, str]]:
    """What a path puts into an archive: names in it, and the files. Pipes and devices have no place there."""
    below = path == top or path.startswith(f"{top.rstrip('/')}/")
    start = top if below else "/"
    if not os.path.isdir(path):
        yield os.path.relpath(path, start), path
        return
    for directory, _, names in os.walk(path):
        here = os.path.relpath(directory, start)
        yield f"{here}/", directory
        for name in names:
            file = os.path.join(directory, name)
            if os.path.isfile(file):
                yield os.path.join(here, name), file


def _way_out(name: str, links: Mapping[str, str]) -> str:
    """Why a member may not be unpacked; empty if it stays in the directory. `links`: the archive's own, by normal name.

    A link that goes up behind a name (`a/..`) is judged by the file system, where `a` may be a link, so it is none."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or ".." in parts or "\0" in name or not name.strip("/"):
        return "its name leads out of the directory"
    place = posixpath.normpath(name)
    if any("/".join(place.split("/")[:depth]) in links for depth in range(1, place.count("/") + 1)):
        return "it would be written through a link of the archive"
    target = links.get(place)
    if target is not None:
        leads = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
        up = [part for part in target.split("/") if part not in ("", ".")]
        turns = any(part == ".." and before != ".." for before, part in zip(up, up[1:], strict=False))
        if target.startswith("/") or turns or leads == ".." or leads.startswith("../"):
            return f"it is a link to {target}"
    return ""


def _inside(real: str, info: Any) -> bool:
    """Whether a member comes to lie in the directory whose real name is given, whatever links are there now."""
    name = info.filename.rstrip("/")
    place = os.path.realpath(os.path.join(real, name if info.is_dir() else os.path.dirname(name)))
    return place == real or place.startswith(f"{real.rstrip('/')}/")


def _checked(archive: Any, names: list[str], dest: str, password: bytes | None) -> dict[str, str]:
    """The links in a zip archive; CommandExecutionError if something would come to lie outside of dest, or if there is
    no room for it."""
    infos = [archive.getinfo(name) for name in names]
    links = {
        posixpath.normpath(info.filename): archive.read(info, password).decode("utf-8", "surrogateescape")
        for info in infos
        if stat.S_ISLNK(info.external_attr >> 16) and info.file_size < 4096
    }
    real = os.path.realpath(dest)
    for info in infos:
        why = _way_out(info.filename, links)
        if not why and not _inside(real, info):
            why = "a link in the directory leads out of it"
        if why:
            raise CommandExecutionError(f"{info.filename!r} is not unpacked, and nothing else: {why}.")
    place = real
    while not os.path.exists(place):
        place = os.path.dirname(place)
    room = os.statvfs(place)
    size = sum(info.file_size for info in infos)
    if size > room.f_bavail * room.f_frsize:
        raise CommandExecutionError(f"{size} bytes would be unpacked, and {place} has no room for them.")
    return links


def unzip(
    zip_file,
    dest,
    excludes=None,
    options=None,
    template=None,
    runas=None,
    trim_output=False,
    password=None,
    extract_perms=True,
    test=False,
):
    """Unpack a zip archive: the names in it. What is there already is replaced. An archive with a name or a link that
    leads out of the directory is refused as a whole.

    zip_file
        the archive
    dest
        the directory to unpack into
    excludes
        names not to unpack: a text with commas, or a list
    options
        has no meaning here
    template
        is refused: archive.cmd_unzip fills in templates
    runas
        the user whose rights count
    trim_output
        how many names to give; True: 100
    password
        of the archive
    extract_perms
        False: modes are what umask leaves
    test
        True: give the names, and unpack nothing

    CLI Example: salt '*' archive.unzip /tmp/zipfile.zip /home/strongbad/ excludes=file_1,file_2"""
    import zipfile

    if template:
        raise SaltInvocationError("archive.unzip fills in no template: use archive.cmd_unzip.")
    excluded = _listed(excludes)
    key = None if password is None else str(password).encode()
    problem = "Exception encountered unpacking zipfile"
    with _as_user(runas):
        try:
            with zipfile.ZipFile(zip_file) as archive:
                names = [name for name in archive.namelist() if name not in excluded]
                links = _checked(archive, names, dest, key)
                for name in [] if test else names:
                    link = links.get(posixpath.normpath(name))
                    _unpack(archive, archive.getinfo(name), dest, link, key, extract_perms)
        except (OSError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
            raise CommandExecutionError(f"{problem}: {error}") from None
    return _trimmed(names, trim_output)


def _unpack(archive: Any, info: Any, dest: str, link: str | None, password: bytes | None, modes: bool) -> None:
    """One member, beside its place and renamed; a mode lends nobody's rights (no setuid)."""
    path = os.path.join(dest, info.filename.rstrip("/"))
    mode = info.external_attr >> 16 & 0o777 if modes else 0
    if info.is_dir():
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        beside = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}")
        try:
            if link is not None:
                os.symlink(link, beside)
            else:
                with archive.open(info, pwd=password) as packed, open(beside, "xb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
            os.rename(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
    if mode and link is None:
        os.chmod(path, mode)


# What an archive holds


def _local(name: Any, saltenv: str) -> str:
    """The file on this machine; one of the master's is fetched."""
    if os.path.isabs(str(name)):
        return str(name)
    found = __salt__["cp.cache_file"](name, saltenv)
    if not found:
        raise CommandExecutionError(f"Failed to cache {name}")
    return found


def _in_tar(path: str, options: Any) -> tuple[list[str], list[str], list[str]]:
    """Directories, files and links of a tar archive, which `options` may unpack first."""
    import tarfile

    dirs: list[str] = []
    files: list[str] = []
    links: list[str] = []
    with contextlib.ExitStack() as stack:
        try:
            if options:
                words = [*shlex.split(str(options)), path]
                process = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL))
                archive = stack.enter_context(tarfile.open(fileobj=process.stdout, mode="r|"))
            else:
                archive = stack.enter_context(tarfile.open(path))
            for member in archive:
                kind = links if member.issym() else dirs if member.isdir() else files
                kind.append(member.name + "/" * member.isdir())
        except (tarfile.TarError, OSError, EOFError) as error:
            raise CommandExecutionError(f"Unable to list contents of {path}: {error}") from None
    return dirs, files, links


def _in_zip(path: str, options: Any) -> tuple[list[str], list[str], list[str]]:
    """Directories, files and links of a zip archive; directories that only stand in names are among them."""
    import zipfile

    files: list[str] = []
    links: list[str] = []
    dirs: set[str] = set()
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                mode = info.external_attr >> 16
                if stat.S_ISLNK(mode):
                    links.append(info.filename)
                elif stat.S_ISDIR(mode) or info.is_dir():
                    dirs.add(info.filename)
                else:
                    files.append(info.filename)
    except zipfile.BadZipFile:
        raise CommandExecutionError(f"{path} is not a ZIP file") from None
    except OSError as error:
        raise CommandExecutionError(f"{path}: {error.strerror}") from None
    dirs |= {f"{name.rpartition('/')[0]}/" for name in files if "/" in name}
    return sorted(dirs), files, links


def list_(
    name,
    archive_format=None,
    options=None,
    strip_components=None,
    clean=False,
    verbose=False,
    saltenv="base",
    source_hash=None,
    use_etag=False,
):
    """What a tar or zip archive holds: a list of names, directories with a `/` at the end; with verbose=True a map of
    dirs, files, links, top_level_dirs, top_level_files and top_level_links.

    name
        the archive: absolute, or a file of the master's (salt://…)
    archive_format
        tar or zip; without: as its name ends
    options
        of a tar archive: a command that unpacks it to its output, 'lz4 -dc'
    strip_components
        so many first parts of the names are left out
    clean
        True: remove a file that was fetched
    verbose
        True: a map
    saltenv
        the environment of the master's file
    source_hash, use_etag
        have no meaning here

    CLI Example: salt '*' archive.list /path/to/myfile.tar.gz strip_components=1"""
    try:
        strip = int(strip_components or 0)
    except (TypeError, ValueError):
        strip = -1
    if strip < 0:
        raise CommandExecutionError("'strip_components' must be a positive integer")
    ending = str(name).lower()
    guessed = [kind for kind, ends in FORMATS.items() if any(ending.endswith(f".{end}") for end in ends)]
    kind = archive_format or (guessed[0] if guessed else None)
    if kind is None:
        raise CommandExecutionError("Unable to guess archive format, please pass an 'archive_format' argument.")
    if kind not in FORMATS:
        raise CommandExecutionError(f"Unsupported archive format '{kind}'")
    path = _local(name, saltenv)
    found = (_in_tar if kind == "tar" else _in_zip)(path, options)
    if clean and path != str(name):
        with contextlib.suppress(OSError):
            os.unlink(path)
    if strip:
        stripped = [[each.split("/", strip)[strip:] for each in names] for names in found]
        found = tuple([parts[0] for parts in names if parts and parts[0]] for names in stripped)  # type: ignore[assignment]
    dirs, files, links = found
    if not verbose:
        return sorted(dirs + files + links)
    ret = {"dirs": sorted(dirs), "files": sorted(files), "links": sorted(links)}
    tops = [each for each in ret["dirs"] if each.count("/") == 1]
    common = os.path.commonprefix(dirs + files + links).partition("/")
    tops += [f"{common[0]}/"] if common[1] and f"{common[0]}/" not in tops else []
    ret |= {f"top_level_{kind}": [each for each in ret[kind] if "/" not in each] for kind in ("files", "links")}
    return ret | {"top_level_dirs": tops}


def is_encrypted(name, clean=False, saltenv="base", source_hash=None, use_etag=False):
    """Whether a zip archive needs a password: True or False.

    name
        the archive: absolute, or a file of the master's (salt://…)
    clean
        True: remove a file that was fetched
    saltenv
        the environment of the master's file
    source_hash, use_etag
        have no meaning here

    CLI Example: salt '*' archive.is_encrypted /path/to/myfile.zip"""
    import zipfile

    path = _local(name, saltenv)
    try:
        with zipfile.ZipFile(path) as archive:
            return any(info.flag_bits & 1 for info in archive.infolist())
    except zipfile.BadZipFile:
        raise CommandExecutionError(f"{name} is not a ZIP file") from None
    except OSError as error:
        raise CommandExecutionError(f"{name}: {error.strerror}") from None
    finally:
        if clean and path != str(name):
            with contextlib.suppress(OSError):
                os.unlink(path)
