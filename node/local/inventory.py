"""What a demo publishes: the software that is installed here, or any folder, as records.

Every file is named with its SHA-256 and size. Several files share a record, so that the number of
records stays in the thousands whatever there is: a record's content is a manifest (one line a file), its
labels repeat the lines, so that anybody can check one file against the ledger alone.
"""

import base64
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node.ledger.apps.records import LABEL_VALUE_CHARACTERS_MAX, LABELS_MAX, Content, make_record_id

RECORDS_TARGET = 3_000
"""About how many records one inventory becomes; more files than that share records."""
FILES_MAX = 60_000
FILES_SCHEMA = "isthmus/files/v1"
PACKAGE_SCHEMA = "isthmus/package/v1"
_FILES_PER_RECORD_MAX = LABELS_MAX
_LABEL_TEXT_MAX = 200
_READ_BYTES = 1024 * 1024
_LABEL = re.compile(r"([0-9a-f]{64}) [0-9]+ .*", re.DOTALL)


class InventoryError(Exception):
    """There is nothing to publish, or too much: the user's fault, told as a sentence with the way out."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: its name in the inventory, its 32-byte SHA-256, its size in bytes, and where it lies."""

    name: str
    sha256: bytes
    size: int
    place: Path

    def line(self) -> str:
        """The manifest line, `sha256 size name`; also what `check_line` reads."""
        return f"{self.sha256.hex()} {self.size} {self.name}"


@dataclass(frozen=True, slots=True)
class Package:
    """Files that belong together: an installed distribution, or a folder."""

    name: str
    version: str
    licence: str
    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True)
class InventoryRecord:
    """One record to publish; `files` are the entries it vouches for (none in a package's own record)."""

    record_id: str
    content: Content
    files: tuple[FileEntry, ...]


# --- finding out ------------------------------------------------------------------------------------


def installed_packages() -> tuple[Package, ...]:
    """Every installed distribution with the files whose SHA-256 its RECORD lists, in order of name."""
    found: dict[str, Package] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name and name.lower() not in found:
            found[name.lower()] = _package_of(name, distribution)
    packages = tuple(found[name] for name in sorted(found))
    if not packages:
        raise InventoryError("no installed distribution was found; publish a folder: make demo DATA=path")
    return packages


def _package_of(name: str, distribution: importlib.metadata.Distribution) -> Package:
    entries = []
    for file in distribution.files or ():
        place = Path(str(distribution.locate_file(file)))
        if file.hash is None or file.hash.mode != "sha256" or not place.is_file():
            continue
        sha256 = base64.urlsafe_b64decode(file.hash.value + "=" * (-len(file.hash.value) % 4))
        size = file.size if file.size is not None else place.stat().st_size
        entries.append(FileEntry(str(file), sha256, int(size), place))
    stated = [
        *distribution.metadata.get_all("License-Expression", ()),
        *distribution.metadata.get_all("License", ()),
    ]
    licence = next((text.splitlines()[0] for text in stated if text.strip()), "not stated")
    return Package(name, distribution.version, licence, tuple(entries))


def folder_package(folder: Path) -> Package:
    """All regular files below a folder, hashed now; links are not followed. Raises InventoryError."""
    if not folder.is_dir():
        raise InventoryError(f"{folder} is not a folder; give one with files in it: make demo DATA=path")
    entries: list[FileEntry] = []
    for place in _files_below(folder):
        if len(entries) == FILES_MAX:
            raise InventoryError(f"{folder} has more than {FILES_MAX} files; choose a folder below it")
        entries.append(
            FileEntry(str(place.relative_to(folder)), hash_file(place), place.stat().st_size, place)
        )
    if not entries:
        raise InventoryError(f"{folder} has no files to publish; choose another folder")
    return Package(folder.resolve().name or "folder", "as-found", "not stated", tuple(entries))


def _files_below(folder: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(folder):
        names.sort()
        for name in sorted(files):
            place = Path(directory, name)
            if place.is_file() and not place.is_symlink():
                yield place


def hash_file(place: Path) -> bytes:
    """The SHA-256 of a file's content; raises OSError."""
    hasher = hashlib.sha256()
    with place.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            hasher.update(piece)
    return hasher.digest()


# --- turning into records (pure) --------------------------------------------------------------------


def records_of(packages: Iterable[Package], collection: str) -> tuple[InventoryRecord, ...]:
    """One record for each package and one for each group of its files.

    `collection` begins every record id. Raises InventoryError when there are too many files.
    """
    packages = tuple(packages)
    total = sum(len(package.files) for package in packages)
    if total > FILES_MAX:
        raise InventoryError(f"{total} files are more than the {FILES_MAX} a demo publishes; choose less")
    per_record = min(_FILES_PER_RECORD_MAX, max(1, -(-total // RECORDS_TARGET)))
    records: list[InventoryRecord] = []
    for package in packages:
        records.append(_package_record(package, collection))
        records += (
            _files_record(package, collection, position, package.files[position : position + per_record])
            for position in range(0, len(package.files), per_record)
        )
    return tuple(records)


def _package_record(package: Package, collection: str) -> InventoryRecord:
    manifest = _manifest(package.files)
    labels = (
        ("name", package.name[:_LABEL_TEXT_MAX]),
        ("version", package.version[:_LABEL_TEXT_MAX]),
        ("licence", package.licence[:_LABEL_TEXT_MAX]),
        ("files", str(len(package.files))),
    )
    size = sum(file.size for file in package.files)
    content = Content(hashlib.sha256(manifest).digest(), size, PACKAGE_SCHEMA, "", (), labels)
    return InventoryRecord(make_record_id(collection, package.name, package.version), content, ())


def _files_record(
    package: Package, collection: str, position: int, files: tuple[FileEntry, ...]
) -> InventoryRecord:
    labels = tuple((f"file{i}", _bounded_line(file)) for i, file in enumerate(files))
    owner = make_record_id(collection, package.name, package.version)
    size = sum(file.size for file in files)
    sha256 = hashlib.sha256(_manifest(files)).digest()
    content = Content(sha256, size, FILES_SCHEMA, "", (owner,), labels)
    record_id = make_record_id(collection, package.name, package.version, f"files-{position:05}")
    return InventoryRecord(record_id, content, files)


def _manifest(files: Iterable[FileEntry]) -> bytes:
    return "".join(file.line() + "\n" for file in files).encode("utf-8", "surrogateescape")


def _bounded_line(file: FileEntry) -> str:
    """The line as a label; the end of a very long name is cut, the manifest's hash still covers it."""
    line = file.line().encode("utf-8", "replace").decode()
    return line[:LABEL_VALUE_CHARACTERS_MAX]


# --- checking ---------------------------------------------------------------------------------------


def published_hashes(content: Content) -> tuple[bytes, ...]:
    """The SHA-256 of each file that a record names, in order; none for a record of another schema."""
    if content.schema != FILES_SCHEMA:
        return ()
    lines = (_LABEL.fullmatch(text) for name, text in content.labels if name.startswith("file"))
    return tuple(bytes.fromhex(line[1]) for line in lines if line is not None)


def differing_files(content: Content, files: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    """Those of `files` whose bytes on disk are not what the record on the ledger says."""
    files = tuple(files)
    hashes = published_hashes(content)
    if len(hashes) != len(files):
        return files
    return tuple(file for file, sha256 in zip(files, hashes, strict=True) if hash_file(file.place) != sha256)
