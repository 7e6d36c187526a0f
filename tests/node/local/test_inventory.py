"""What the demo publishes: real files, named with hashes that are theirs, in records the ledger accepts."""

import hashlib
from pathlib import Path

import pytest

from node.ledger.apps.records import parse_put
from node.local import inventory
from node.local.inventory import (
    FileEntry,
    InventoryError,
    InventoryRecord,
    Package,
    differing_files,
    folder_package,
    hash_file,
    installed_packages,
    published_hashes,
    records_of,
)


def accepted(record: InventoryRecord) -> None:
    """The ledger's own parser takes it; raises RejectedTransaction otherwise."""
    parse_put((record.record_id, *record.content.to_value()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"alpha")
    (folder / "deep" / "b.bin").write_bytes(bytes(3_000_000))
    (folder / "deep" / "er" / "ünï code.txt").write_text("gamma")
    (folder / "link").symlink_to(folder / "a.txt")
    return folder


def test_a_folder_is_named_file_by_file_with_the_hash_of_its_bytes(folder: Path) -> None:
    package = folder_package(folder)
    assert [file.name for file in package.files] == ["a.txt", "deep/b.bin", "deep/er/ünï code.txt"]
    assert package.files[0].sha256 == hashlib.sha256(b"alpha").digest()
    assert package.files[1].size == 3_000_000


def test_every_record_is_accepted_by_the_ledger_and_names_each_file_once(folder: Path) -> None:
    records = records_of([folder_package(folder)], "data")
    for record in records:
        accepted(record)
    assert len({record.record_id for record in records}) == len(records)
    assert [file.name for record in records for file in record.files] == [
        "a.txt",
        "deep/b.bin",
        "deep/er/ünï code.txt",
    ]


def test_a_package_record_vouches_for_no_file(folder: Path) -> None:
    record = records_of([folder_package(folder)], "data")[0]
    assert (record.files, published_hashes(record.content)) == ((), ())
    assert differing_files(record.content, ()) == ()


def test_the_installed_software_becomes_records_that_match_the_disk() -> None:
    packages = installed_packages()
    assert "trio" in {package.name for package in packages}
    records = records_of(packages, "software")
    for record in records:
        accepted(record)
    trio = next(package for package in packages if package.name == "trio")
    chosen = [record for record in records if record.files and record.files[0] in trio.files]
    assert chosen
    assert not [file for record in chosen for file in differing_files(record.content, record.files)]


def test_a_changed_file_is_found_and_only_that_one(folder: Path) -> None:
    records = [r for r in records_of([folder_package(folder)], "data") if r.files]
    with (folder / "deep" / "b.bin").open("r+b") as file:
        file.seek(2_999_999)
        file.write(b"\x01")
    found = [file.name for record in records for file in differing_files(record.content, record.files)]
    assert found == ["deep/b.bin"]


def test_a_record_that_names_fewer_files_vouches_for_none_of_them(folder: Path) -> None:
    record = next(r for r in records_of([folder_package(folder)], "data") if r.files)
    assert differing_files(record.content, (*record.files, *record.files)) == (*record.files, *record.files)


def package_of(count: int, place: Path, name: str = "p") -> Package:
    files = tuple(FileEntry(f"{i:05}" + "n" * 300, bytes(32), 1, place) for i in range(count))
    return Package(name, "1.0 beta/2", "L" * 500, files)


def test_many_files_share_records_so_that_there_are_a_few_thousand(tmp_path: Path) -> None:
    records = records_of([package_of(10_000, tmp_path)], "data")
    assert 2_000 < len(records) <= inventory.RECORDS_TARGET + 1
    for record in records[:3]:
        accepted(record)


def test_names_too_long_for_a_label_keep_their_hash(tmp_path: Path) -> None:
    record = records_of([package_of(1, tmp_path)], "data")[1]
    assert published_hashes(record.content) == (bytes(32),)


def test_the_manifest_hash_is_that_of_its_lines(folder: Path) -> None:
    record = next(r for r in records_of([folder_package(folder)], "data") if r.files)
    lines = "".join(f"{file.sha256.hex()} {file.size} {file.name}\n" for file in record.files)
    assert record.content.sha256 == hashlib.sha256(lines.encode()).digest()


def test_too_many_files_and_none_at_all_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="choose less"):
        records_of([package_of(inventory.FILES_MAX + 1, tmp_path)], "data")
    with pytest.raises(InventoryError, match="has no files"):
        folder_package(tmp_path)
    with pytest.raises(InventoryError, match="is not a folder"):
        folder_package(tmp_path / "missing")


def test_hashing_reads_the_whole_file(folder: Path) -> None:
    assert hash_file(folder / "deep" / "b.bin") == hashlib.sha256(bytes(3_000_000)).digest()
