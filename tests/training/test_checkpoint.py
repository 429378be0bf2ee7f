"""Checkpoints: whole or not used, the last two kept, and a fingerprint of the weights."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sceneshift.errors import StorageError
from sceneshift.training.checkpoint import CheckpointFolder, weights_hash


def state_of(epoch: int) -> dict[str, Any]:
    torch.manual_seed(epoch)
    net = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": epoch,
        "modules": {"net": net.state_dict()},
        "optimizer": optimizer.state_dict(),
        "draws": torch.Generator().manual_seed(epoch).get_state(),
        "mixing": np.random.default_rng(epoch).bit_generator.state,  # holds integers of 128 bits
    }


def folder_with(path: Path, *epochs: int) -> CheckpointFolder:
    folder = CheckpointFolder(str(path))
    for epoch in epochs:
        folder.save(epoch, state_of(epoch))
    return folder


def names_in(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


def test_a_state_comes_back_as_it_went(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 3)
    epoch, state = folder.load_latest()
    expected = state_of(3)
    assert epoch == 3
    assert state.keys() == expected.keys()
    assert state["epoch"] == 3
    for name, tensor in expected["modules"]["net"].items():
        assert torch.equal(state["modules"]["net"][name], tensor)
    for index, moments in expected["optimizer"]["state"].items():
        for name, tensor in moments.items():
            assert torch.equal(state["optimizer"]["state"][index][name], tensor)
    assert state["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]
    assert state["mixing"] == expected["mixing"]
    assert max(state["mixing"]["state"].values()) > 2**64
    generator = torch.Generator()
    generator.set_state(state["draws"])
    assert torch.equal(torch.rand(5, generator=generator), torch.rand(5, generator=torch.Generator().manual_seed(3)))


def test_an_empty_or_missing_folder_has_no_latest(tmp_path: Path) -> None:
    assert CheckpointFolder(str(tmp_path)).load_latest() is None
    assert CheckpointFolder(str(tmp_path / "never" / "made")).load_latest() is None


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "trial" / "a", 1, 2, 3, 10)  # folders are made as needed
    assert names_in(tmp_path / "trial" / "a") == ["epoch_00003.ckpt", "epoch_00010.ckpt"]
    assert folder.load_latest()[0] == 10


def test_two_folders_do_not_touch_each_other(tmp_path: Path) -> None:
    one, other = folder_with(tmp_path / "one", 1), folder_with(tmp_path / "other", 5, 6, 7)
    assert one.load_latest()[0] == 1
    assert other.load_latest()[0] == 7


def test_a_uri_is_a_location_too(tmp_path: Path) -> None:
    folder = CheckpointFolder(f"file://{tmp_path}/trial")
    folder.save(1, state_of(1))
    assert names_in(tmp_path / "trial") == ["epoch_00001.ckpt"]
    assert folder.load_latest()[1]["epoch"] == 1


def truncate_to(size: float) -> Any:
    return lambda content: content[: int(size * len(content))]


def flip_bit(position: float) -> Any:
    def damage(content: bytes) -> bytes:
        at = int(position * len(content))
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return damage


@pytest.mark.parametrize(
    "damage",
    [truncate_to(0.0), truncate_to(0.001), truncate_to(0.5), truncate_to(0.999), flip_bit(0.0), flip_bit(0.5)],
    ids=["empty", "digest cut", "half", "end cut", "bit of the digest", "bit of the state"],
)
def test_of_a_damaged_file_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    folder = folder_with(tmp_path, 4, 5)
    newest = tmp_path / "epoch_00005.ckpt"
    newest.write_bytes(damage(newest.read_bytes()))
    with caplog.at_level(logging.WARNING, logger="sceneshift"):
        epoch, state = folder.load_latest()
    assert (epoch, state["epoch"]) == (4, 4)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{newest} is damaged" in record.getMessage()


def test_no_truncation_and_no_flipped_bit_passes(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 4, 5)
    newest = tmp_path / "epoch_00005.ckpt"
    whole = newest.read_bytes()
    # Around the digest's end and the file's, where a cut could look whole, every length; in between, a prime stride.
    lengths = {*range(70), *range(70, len(whole), 97), *range(len(whole) - 70, len(whole))}
    bits = {*range(0, 8 * 70), *range(8 * 70, 8 * len(whole), 8 * 97 + 3)}
    flipped = [whole[: at // 8] + bytes([whole[at // 8] ^ (1 << at % 8)]) + whole[at // 8 + 1 :] for at in sorted(bits)]
    longer = [whole + b"\0", whole + whole]
    for content in [*(whole[:length] for length in sorted(lengths)), *flipped, *longer]:
        newest.write_bytes(content)
        assert folder._read(5) is None
    newest.write_bytes(whole)
    assert folder._read(5)["epoch"] == 5
    assert folder.load_latest()[0] == 5


def test_a_disk_that_can_only_be_read_is_reported_and_what_is_there_stays(tmp_path: Path) -> None:
    from pyarrow import fs

    folder = folder_with(tmp_path, 1)
    before = (tmp_path / "epoch_00001.ckpt").read_bytes()

    class ReadOnly:
        def __getattr__(self, name: str) -> Any:
            return getattr(fs.LocalFileSystem(), name)

        def open_output_stream(self, path: str) -> Any:
            raise OSError(30, f"Read-only file system: {path}")

    folder._fs = ReadOnly()
    with pytest.raises(StorageError, match=r"epoch_00002.ckpt"):
        folder.save(2, state_of(2))
    assert folder.load_latest()[0] == 1
    assert (tmp_path / "epoch_00001.ckpt").read_bytes() == before


def test_whole_files_are_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder_with(tmp_path, 4, 5).load_latest()
    assert caplog.records == []


def test_where_all_are_damaged_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_with(tmp_path, 1, 2)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert folder.load_latest() is None
    assert len(caplog.records) == 3
    assert "begins again" in caplog.records[-1].message


def test_a_damaged_epoch_can_be_saved_again(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, 4, 5)
    (tmp_path / "epoch_00005.ckpt").write_bytes(b"damaged")
    folder.save(5, state_of(5))
    assert folder.load_latest()[0] == 5
    assert names_in(tmp_path) == ["epoch_00004.ckpt", "epoch_00005.ckpt"]


def test_what_was_being_written_at_a_crash_is_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = folder_with(tmp_path, 1)
    whole = (tmp_path / "epoch_00001.ckpt").read_bytes()
    (tmp_path / "epoch_00002.ckpt.part").write_bytes(whole)
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    assert folder.load_latest()[0] == 1
    assert caplog.records == []
    folder.save(2, state_of(2))  # overwrites the leftover
    assert folder.load_latest()[1]["epoch"] == 2
    assert "epoch_00002.ckpt.part" not in names_in(tmp_path)


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_with(tmp_path, 1)

    class DiskFull:
        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        def move(self, *_: str) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "_fs", DiskFull(folder._fs))
    with pytest.raises(StorageError, match="No space left on device"):
        folder.save(2, state_of(2))
    assert "epoch_00002.ckpt" not in names_in(tmp_path)
    assert folder.load_latest()[0] == 1


def test_a_location_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    location = tmp_path / "file" / "trial"
    with pytest.raises(StorageError) as error:
        CheckpointFolder(str(location)).save(7, state_of(7))
    message = str(error.value)
    assert f"{location}/epoch_00007.ckpt" in message
    assert "--storage-path" in message
    assert "--resume" in message
    assert isinstance(error.value.__cause__, OSError)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))


def test_the_hash_of_weights_is_the_same_for_the_same_weights() -> None:
    assert weights_hash(network()) == weights_hash(network().eval())
    assert len(weights_hash(network())) == 16


def test_the_hash_changes_with_any_number_of_a_module() -> None:
    hashes = [weights_hash(network())]
    for name, tensor in network().state_dict().items():
        for position in np.ndindex(tuple(tensor.shape)):
            changed = network()
            element = changed.state_dict()[name]
            if element.is_floating_point():
                element[position] = torch.nextafter(element[position], torch.tensor(9.0))
            else:
                element += 1
            hashes.append(weights_hash(changed))
    assert len(hashes) == 1 + 6 + 3 + 4 * 3 + 1
    assert len(set(hashes)) == len(hashes)


def test_the_hash_knows_which_weight_is_whose() -> None:
    one, other = nn.ParameterDict({"a": torch.zeros(2)}), nn.ParameterDict({"b": torch.zeros(2)})
    assert weights_hash(one) != weights_hash(other)


def test_a_location_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="/file"):
        CheckpointFolder(str(tmp_path / "file")).load_latest()


def test_the_latest_epoch_is_reported_without_reading_it(tmp_path: Path) -> None:
    assert CheckpointFolder(str(tmp_path / "none")).latest_epoch() == 0
    folder = folder_with(tmp_path, 1, 2, 3)
    assert folder.latest_epoch() == 3
