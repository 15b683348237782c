import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.api import BenchError
from generators.finished.folder import Folder


def write(folder: Path, rows: list[dict[str, str]], size: tuple[int, int] = (16, 12)) -> Path:
    """Save an image of its own grey levels for each row, and the table."""
    folder.mkdir(parents=True, exist_ok=True)
    for position, row in enumerate(rows):
        image = np.random.default_rng(position).integers(0, 256, size).astype(np.uint8)
        path = folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    with (folder / "metadata.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def train(toy):
    return toy.labelled(8)


def sample(generator: Folder, train, requests, folder: Path) -> np.ndarray:
    generator.fit(train, folder, 0)
    generator.plan(requests)
    return generator.sample(requests)


def test_images_join_requests_by_id(toy, train, tmp_path) -> None:
    requests = [toy.request(f"r{i}", level=1, side=0) for i in range(3)]
    folder = write(tmp_path, [{"file_name": f"sub/{i}.png", "request_id": f"r{2 - i}"} for i in range(3)])
    made = sample(Folder(str(folder)), train, requests, tmp_path)
    for position in range(3):
        assert np.array_equal(made[position], np.asarray(Image.open(folder / f"sub/{2 - position}.png")))


def test_ids_must_agree_in_both_directions(toy, train, tmp_path) -> None:
    requests = [toy.request(f"r{i}", level=1, side=0) for i in range(3)]
    folder = write(tmp_path, [{"file_name": f"{i}.png", "request_id": f"r{i + 2}"} for i in range(3)])
    with pytest.raises(BenchError, match=r"2 requests have no image \(r0; r1\), 2 images have no request \(r3; r4\)"):
        sample(Folder(str(folder)), train, requests, tmp_path)
    folder = write(tmp_path / "twice", [{"file_name": f"{i}.png", "request_id": "r1"} for i in range(2)])
    with pytest.raises(BenchError, match="several images: r1"):
        sample(Folder(str(folder)), train, requests, tmp_path)
    folder = write(tmp_path / "some", [{"file_name": f"{i}.png", "request_id": "r1" * i} for i in range(2)])
    with pytest.raises(BenchError, match=r"metadata.csv line 2: no request_id"):
        sample(Folder(str(folder)), train, requests, tmp_path)


def test_images_are_given_by_conditions_once_within_a_purpose(toy, train, tmp_path) -> None:
    rows = [{"file_name": f"{i}.png", "level": str(i % 3), "side": ["left", "1"][i % 2]} for i in range(12)]
    folder = write(tmp_path, rows)
    requests = [
        toy.request(f"{purpose}{i}", purpose, level=i % 3, side=i % 2)
        for purpose in ("fidelity", "utility")
        for i in range(12)
    ]
    made = sample(Folder(str(folder)), train, requests, tmp_path)
    files = {np.asarray(Image.open(folder / f"{i}.png")).tobytes(): i for i in range(12)}
    got = [files[image.tobytes()] for image in made]
    assert sorted(got[:12]) == sorted(got[12:]) == list(range(12))
    assert all(i % 6 == file % 6 for i, file in enumerate(got[:12]))
    again = sample(Folder(str(folder)), train, requests[::-1], tmp_path)
    assert np.array_equal(made[::-1], again)


def test_too_few_images_are_counted_and_reuse_is_a_choice(toy, train, tmp_path) -> None:
    rows = [{"file_name": f"{i}.png", "level": str(i % 2), "purpose": "fidelity"} for i in range(4)]
    folder = write(tmp_path, rows)
    requests = [toy.request(f"r{i}", level=i % 2, side=0) for i in range(9)]
    with pytest.raises(BenchError) as error:
        sample(Folder(str(folder)), train, requests, tmp_path)
    assert "fidelity, level=0: 5 asked, 2 there; fidelity, level=1: 4 asked, 2 there" in str(error.value)
    remedies = ["Ask for fewer (at most requests.fidelity=3)", "read fidelity images", "requests.csv", "reuse=true"]
    places = [str(error.value).index(each) for each in remedies]
    assert places == sorted(places), "what spoils the measurement comes last"
    generator = Folder(str(folder), reuse=True)
    assert len(np.unique(sample(generator, train, requests, tmp_path), axis=0)) == 4
    assert generator.uses == ("level",) and generator.facts["images_used"] == 4
    with pytest.raises(BenchError, match="level=3: 1 asked, 0 there"):
        generator.plan([*requests, toy.request("r9", level=3, side=0)])
    with pytest.raises(BenchError, match="utility, level=0: 1 asked, 0 there"):
        generator.plan([*requests, toy.request("r9", "utility", level=0, side=0)])


def test_fewer_requests_are_as_many_as_there_are_images(toy, train, tmp_path) -> None:
    folder = write(tmp_path, [{"file_name": f"{i}.png"} for i in range(5)])
    requests = [toy.request(f"{purpose}-{i}", purpose) for purpose in ("fidelity", "privacy") for i in range(8)]
    with pytest.raises(BenchError, match=r"at most requests.fidelity=5 requests.privacy=5\), or leave out the eval"):
        sample(Folder(str(folder)), train, requests, tmp_path)
    assert len(sample(Folder(str(folder)), train, requests[:5], tmp_path)) == 5


def test_images_for_a_purpose_nobody_asks_for_are_left_out(toy, train, tmp_path) -> None:
    rows = [{"file_name": f"{name}.png", "request_id": name} for name in ("fidelity-0", "fidelity-1", "privacy-0")]
    folder = write(tmp_path, rows)
    requests = [toy.request(f"fidelity-{i}") for i in range(2)]
    generator = Folder(str(folder))
    assert len(sample(generator, train, requests, tmp_path)) == 2 and generator.facts["images_used"] == 2
    with pytest.raises(BenchError, match=r"1 images have no request \(fidelity-1\)"):
        generator.plan(requests[:1])


def test_one_file_for_several_requests_is_refused_or_counted_and_told(toy, train, tmp_path, caplog) -> None:
    folder = write(tmp_path, [{"file_name": "a.png"}])
    lines = "".join(f"a.png,r{i}\n" for i in range(4))
    (folder / "metadata.csv").write_text(f"file_name,request_id\n{lines}")
    requests = [toy.request(f"r{i}", "privacy" if i == 3 else "fidelity") for i in range(4)]
    with pytest.raises(
        BenchError, match=r"2 requests get the picture of another .*a.png given again. Remove the copies"
    ):
        sample(Folder(str(folder)), train, requests, tmp_path)
    generator = Folder(str(folder), reuse=True)
    sample(generator, train, requests, tmp_path)
    assert generator.facts["repeats"] == 2 and generator.facts["images_used"] == 1
    assert "2 requests get the picture of another of their purpose" in caplog.text


def test_files_with_the_same_pixels_are_one_picture(toy, train, tmp_path) -> None:
    folder = write(tmp_path, [{"file_name": f"{i}.png"} for i in range(6)])
    Image.open(folder / "4.png").save(folder / "1.tif")
    for name in ("1.png", "metadata.csv"):
        (folder / name).unlink()
    requests = [toy.request(f"r{i}", level=i % 2, side=0) for i in range(6)]
    with pytest.raises(BenchError, match=r"1 requests get the picture .*1.tif = .*4.png|4.png = .*1.tif"):
        sample(Folder(str(folder)), train, requests, tmp_path)
    generator = Folder(str(folder), reuse=True)
    assert len(np.unique(sample(generator, train, requests, tmp_path), axis=0)) == 5
    assert generator.facts["repeats"] == 1 and generator.facts["images_used"] == 6


def test_one_image_may_serve_several_purposes(toy, train, tmp_path) -> None:
    folder = write(tmp_path, [{"file_name": f"{i}.png"} for i in range(2)])
    requests = [toy.request(f"{purpose}-{i}", purpose) for purpose in ("fidelity", "privacy") for i in range(2)]
    generator = Folder(str(folder))
    assert len(sample(generator, train, requests, tmp_path)) == 4
    assert generator.facts["repeats"] == 0


def test_a_folder_without_a_table_is_taken_as_it_is(toy, train, tmp_path, caplog) -> None:
    folder = write(tmp_path / "set", [{"file_name": f"in/{name}.png"} for name in "cab"])
    (folder / "metadata.csv").unlink()
    (folder / ".hidden.png").write_bytes(b"")
    requests = [toy.request(f"r{i}", level=i, side=0) for i in range(3)]
    generator = Folder(str(folder))
    with caplog.at_level("INFO"):
        made = sample(generator, train, requests, tmp_path)
    assert "3 images, no metadata.csv: conditions (level, side) are unknown" in caplog.text
    assert [entry.path.name for entry in generator._entries] == ["a.png", "b.png", "c.png"]
    assert len(np.unique(made, axis=0)) == 3 and generator.uses == ()
    assert generator.facts["table"] is None and generator.facts["images"] == 3
    assert generator.patients(requests) == [None] * 3
    with pytest.raises(BenchError, match=r"mine.csv does not exist; correct generator.table"):
        Folder(str(folder), table="mine.csv").fit(train, tmp_path, 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match=r"has no image files and no metadata\.csv$"):
        Folder(str(tmp_path / "empty")).fit(train, tmp_path, 0)


def test_rows_are_cropped_off_and_colours_taken_as_grey_where_asked_for(toy, train, tmp_path) -> None:
    grey = np.random.default_rng(0).integers(0, 250, (24, 12)).astype(np.uint8)
    Image.fromarray(np.stack([grey, grey + 2, grey + 4], axis=-1)).save(tmp_path / "a.png")
    requests = [toy.request("r")]
    with pytest.raises(BenchError, match=r"a\.png: colour image"):
        sample(Folder(str(tmp_path), crop_rows=[3, 5]), train, requests, tmp_path)
    generator = Folder(str(tmp_path), crop_rows=[3, 5], colour="luma")
    wanted = np.rint(np.stack([grey, grey + 2, grey + 4], -1).astype(float) @ [0.299, 0.587, 0.114])
    assert np.array_equal(sample(generator, train, requests, tmp_path)[0], wanted[3:19])
    assert generator.facts["own_size"] == ((16, 12), (16, 12))
    with pytest.raises(BenchError, match=r"24 rows, generator\.crop_rows takes 24"):
        sample(Folder(str(tmp_path), crop_rows=[20, 4], colour="luma"), train, requests, tmp_path)
    with pytest.raises(BenchError, match="colour is 'sepia'"):
        Folder(colour="sepia")


def test_files_without_a_row_are_named(train, tmp_path) -> None:
    folder = write(tmp_path, [{"file_name": f"in/{i}.png"} for i in range(3)])
    lines = (folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join(lines[:-1]))
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    with pytest.raises(BenchError, match=r"1 image files have no row in .*metadata.csv: .*in/2.png; add rows or move"):
        Folder(str(folder)).fit(train, tmp_path, 0)


def test_images_without_conditions_serve_any_request(toy, train, tmp_path) -> None:
    folder = write(tmp_path, [{"file_name": f"{i}.png"} for i in range(3)])
    requests = [toy.request(f"r{i}", level=i, side=None) for i in range(3)]
    assert len(np.unique(sample(Folder(str(folder)), train, requests, tmp_path), axis=0)) == 3


def test_another_size_is_an_error_unless_resizing_is_asked_for(toy, train, tmp_path) -> None:
    folder = write(tmp_path, [{"file_name": "a.png"}], size=(32, 32))
    requests = [toy.request("r")]
    with pytest.raises(
        BenchError,
        match=r"line 2: .*a.png is 32 x 32, the data set is 16 x 12 .* dataset.image_size=32 .*resize=pad",
    ):
        sample(Folder(str(folder)), train, requests, tmp_path)
    for resize in ("pad", "crop"):
        assert sample(Folder(str(folder), resize=resize), train, requests, tmp_path).shape == (1, 16, 12)
    with pytest.raises(BenchError, match="pad, crop"):
        Folder(str(folder), resize="squash")


def mixed(folder: Path) -> Path:
    """Images of two levels and two sizes, and one of a third level that is larger than all."""
    sizes = {"a.png": (20, 30), "b.tif": (28, 12), "c.jpg": (200, 300)}
    write(folder, [{"file_name": name, "level": str(level)} for level, name in enumerate(sizes)])
    for name, size in sizes.items():
        Image.fromarray(np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)).save(folder / name)
    return folder


def test_the_own_size_is_that_of_the_given_images(toy, train, tmp_path) -> None:
    folder = mixed(tmp_path)
    requests = [toy.request(f"r{i}", level=i % 2, side=0) for i in range(4)]
    generator = Folder(str(folder), resize="pad", reuse=True)
    generator.fit(train, tmp_path, 0)
    generator.plan(requests)
    assert generator.facts["own_size"] == ((20, 12), (28, 30))
    assert generator.sample(requests).shape == (4, 16, 12)
    generator.plan([toy.request("r", level=2, side=0)])
    assert generator.facts["own_size"] == ((200, 300),) * 2
    empty = Folder(str(folder), resize="pad")
    empty.fit(train, tmp_path, 0)
    empty.plan([])
    assert "own_size" not in empty.facts
    (folder / "a.png").write_bytes(b"not a picture")
    with pytest.raises(BenchError, match=r"metadata.csv line 2: .*a.png"):
        generator.plan(requests)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"file_name": "../outside.png"}, "must be inside"),
        ({"file_name": "/etc/hostname"}, "must be inside"),
        ({"file_name": "link.png"}, "must be inside"),
        ({"file_name": "gone.png"}, "gone.png does not exist"),
        ({"file_name": "folder.png"}, "folder.png is a folder, needed an image file"),
        ({"file_name": "a.png", "purpose": "fun"}, "column 'purpose': got 'fun'"),
        ({"file_name": "a.png", "level": "7"}, "column 'level': got '7', needed empty or one of 0, 1, 2, 3"),
    ],
)
def test_bad_lines_are_refused_with_their_place(train, tmp_path, row, message) -> None:
    folder = write(tmp_path / "inside", [{"file_name": "a.png"}])
    Image.fromarray(np.eye(16, 12, dtype=np.uint8)).save(tmp_path / "outside.png")
    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "metadata.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    with pytest.raises(BenchError, match=r"metadata.csv line 2.*" + message):
        Folder(str(folder)).fit(train, tmp_path, 0)


def test_damaged_images_and_missing_tables_are_named(toy, train, tmp_path) -> None:
    folder = write(tmp_path, [{"file_name": "a.png"}])
    (folder / "a.png").write_bytes(b"not a picture")
    with pytest.raises(BenchError, match=r"metadata.csv line 2: .*a.png"):
        sample(Folder(str(folder)), train, [toy.request("r")], tmp_path)
    (folder / "metadata.csv").unlink()
    with pytest.raises(BenchError, match=r"^\S*a.png: not a PNG"):
        sample(Folder(str(folder)), train, [toy.request("r")], tmp_path)
    with pytest.raises(BenchError, match=r"generator.path is not set"):
        Folder().fit(train, tmp_path, 0)
    with pytest.raises(BenchError, match="is not a folder"):
        Folder(str(folder / "gone")).fit(train, tmp_path, 0)


def test_the_table_may_say_which_images_are_of_one_patient(toy, train, tmp_path) -> None:
    rows = [{"file_name": f"{i}.png", "request_id": f"r{i}", "patient_id": ["", "a", "a"][i]} for i in range(3)]
    generator, requests = Folder(str(write(tmp_path, rows))), [toy.request(f"r{i}", level=1, side=0) for i in range(3)]
    sample(generator, train, requests, tmp_path)
    assert generator.patients(requests[::-1]) == ["a", "a", None]
