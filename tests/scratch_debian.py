"""A Debian of its own in a directory: dpkg's and apt's files, and a repository with packages made here. Nothing of the
machine's is read or changed by an apt-get and dpkg that get `environment(directory)`."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = (  # name, version, architecture, what it needs
    ("salt-mine", "1.0-1", "all", ""),
    ("salt-mine", "1.10-1", "all", ""),
    ("salt-mine", "2:0.9", "all", ""),
    ("pan", "1.0", "all", "lid (>= 1)"),
    ("lid", "1.5", "all", ""),
    ("lid", "1.6", "all", ""),
)


def make_package(
    directory: Path, name: str, version: str, arch: str = "all", needs: str = "", conf: bool = True
) -> Path:
    """A .deb with a file and a configuration file."""
    tree = directory / "tree" / f"{name}_{version.replace(':', '%')}"
    (tree / "DEBIAN").mkdir(parents=True)
    doc = tree / "usr/share/doc" / name
    doc.mkdir(parents=True)
    (doc / "README").write_text(f"{name} {version}\n")
    (tree / "etc").mkdir()
    (tree / f"etc/{name}.conf").write_text(f"of {version}\n")
    (tree / "DEBIAN/conffiles").write_text(f"/etc/{name}.conf\n")
    control = f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: A <a@example.org>\n"
    (tree / "DEBIAN/control").write_text(
        f"{control}{f'Depends: {needs}' if needs else ''}\nDescription: {name}\n".replace("\n\n", "\n")
    )
    target = directory / f"{name}_{version.replace(':', '%3a')}_{arch}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(target)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target


def index(directory: Path) -> None:
    """The list of the .debs that are there, as a repository has it."""
    stanzas = []
    for path in sorted(directory.glob("*.deb")):
        control = subprocess.run(["dpkg-deb", "-f", str(path)], check=True, capture_output=True, text=True).stdout
        data = path.read_bytes()
        more = f"Filename: ./{path.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        stanzas.append(control + more)
    (directory / "Packages").write_text("\n".join(stanzas))


def make_repository(directory: Path) -> None:
    """The packages, and the list of them."""
    directory.mkdir()
    for row in PACKAGES:
        make_package(directory, *row)
    shutil.rmtree(directory / "tree")
    index(directory)


def make(directory: Path, repository: Path | None = None) -> None:
    """The repository, or a copy of one, and an empty system that knows it but has not fetched its list."""
    root, apt = directory / "root", directory / "apt"
    if repository:
        shutil.copytree(repository, directory / "repository")
    else:
        make_repository(directory / "repository")
    repository = directory / "repository"
    for each in ("info", "updates", "triggers", "alternatives"):
        (root / "var/lib/dpkg" / each).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    for each in (
        "lists/partial",
        "cache/archives/partial",
        "etc/preferences.d",
        "etc/apt.conf.d",
        "etc/trusted.gpg.d",
        "log",
    ):
        (apt / each).mkdir(parents=True)
    (apt / "etc/sources.list").write_text(f"deb [trusted=yes] file:{repository} ./\n")
    (apt / "apt.conf").write_text(
        f"""Dir::State "{apt}";
        Dir::State::lists "{apt}/lists";
        Dir::State::status "{root}/var/lib/dpkg/status";
        Dir::Cache "{apt}/cache";
        Dir::Etc "{apt}/etc";
        Dir::Log "{apt}/log";
        APT::Sandbox::User "root";
        DPkg::Options {{ "--force-not-root"; "--log={apt}/log/dpkg.log"; "--no-triggers"; }};
        """
    )


def environment(directory: Path) -> dict[str, str]:
    """What apt and dpkg need to take the directory for their system."""
    found = {"APT_CONFIG": f"{directory}/apt/apt.conf", "DPKG_ROOT": f"{directory}/root"}
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return found | {"DPKG_ADMINDIR": f"{directory}/root/var/lib/dpkg", "PATH": f"{path}:/usr/sbin:/sbin"}
