"""Images of the user's own: whatever they are they come out alike, upright and on white, or are refused in a sentence."""

from __future__ import annotations

import resource
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from labkit.base.errors import UserError
from labkit.data import image_files
from labkit.data.image_files import output_names, read_image
from labs.detectron2 import drawing


def png(width, height, kind, rows, *chunks):
    """A PNG of 16 or 8 bits as its specification says: `rows` are the bytes of the pixels."""
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    every = [(b"IHDR", struct.pack(">IIBBBBB", width, height, *kind, 0, 0, 0)), *chunks, (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in every
    )


def transparent(folder):
    """Two pixels, the left one red or grey 90 and opaque, the right one black and fully transparent."""
    rgba = np.array([[[200, 0, 0, 255], [0, 0, 0, 0]]], np.uint8)
    grey = np.array([[[90, 255], [0, 0]]], np.uint8)
    Image.fromarray(rgba).save(str(folder / "rgba.png"))
    Image.fromarray(rgba).save(str(folder / "rgba.tif"))
    Image.fromarray(rgba).save(str(folder / "rgba.webp"), lossless=True)
    Image.fromarray(grey, "LA").save(str(folder / "grey.png"))
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([200, 0, 0, 0, 0, 0])
    palette.save(str(folder / "palette.png"), transparency=1)
    palette.save(str(folder / "palette.gif"), transparency=1)
    (folder / "some of a palette.png").write_bytes(
        png(2, 1, (8, 3), [b"\0\1"], (b"PLTE", bytes([200, 0, 0, 0, 0, 0])), (b"tRNS", b"\xff\0")))  # fmt: skip
    (folder / "one colour.png").write_bytes(
        png(2, 1, (8, 2), [bytes([200, 0, 0, 0, 0, 0])], (b"tRNS", struct.pack(">HHH", 0, 0, 0))))  # fmt: skip
    (folder / "one grey.png").write_bytes(png(2, 1, (8, 0), [b"\x5a\0"], (b"tRNS", struct.pack(">H", 0))))
    wide = struct.pack(">8H", 200 * 257, 0, 0, 65535, 0, 0, 0, 0)
    (folder / "16 bit.png").write_bytes(png(2, 1, (16, 6), [wide]))
    (folder / "grey 16 bit.png").write_bytes(png(2, 1, (16, 4), [struct.pack(">4H", 90 * 257, 65535, 0, 0)]))
    return sorted(folder.iterdir())


def test_what_is_transparent_is_on_white_and_that_is_said_once(tmp_path, capfd):
    paths = transparent(tmp_path)
    assert len(paths) == 11
    for path in paths:
        left = [90, 90, 90] if "grey" in path.name else [200, 0, 0]
        assert read_image(path).tolist() == [[left, [255, 255, 255]]], path.name
    said = capfd.readouterr().err
    assert said.count("is transparent: it is shown on white") == 1 and said.count("\n") == 1


def test_half_transparent_is_half_white_and_an_opaque_alpha_is_not_worth_a_word(tmp_path, capfd):
    for name, alpha in (("half.png", 128), ("opaque.png", 255)):
        Image.fromarray(np.full((2, 3, 4), alpha, np.uint8)).save(str(tmp_path / name))
    assert (read_image(tmp_path / "opaque.png") == 255).all() and not capfd.readouterr().err
    Image.fromarray(np.array([[[0, 0, 0, 128]]], np.uint8)).save(str(tmp_path / "half.png"))
    assert abs(int(read_image(tmp_path / "half.png")[0, 0, 0]) - 127) <= 1 and "half.png" in capfd.readouterr().err


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(("suffix", "alpha"), [("jpg", False), *((suffix, alpha) for suffix in ("png", "webp", "tif")
                                                               for alpha in (False, True))])  # fmt: skip
def test_every_way_to_turn_an_image_ends_upright(suffix, turn, alpha, tmp_path):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16], upright[:8, 16:], upright[8:, :16] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    # How the eight are stored, from the definition of the tag in EXIF 2.3.
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1),
              6: np.rot90(upright), 7: np.rot90(upright, 2).swapaxes(0, 1), 8: np.rot90(upright, 3)}[turn]  # fmt: skip
    if alpha:
        stored = np.dstack([stored, np.full(stored.shape[:2], 255, np.uint8)])
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"turned.{suffix}"
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95, "subsampling": 0}}.get(suffix, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(str(path), exif=exif.tobytes(), **options)
    got = read_image(path)
    assert got.shape == upright.shape and np.abs(got.astype(int) - upright).mean() < 3
    assert (drawing.read(str(path)) == got[:, :, ::-1]).all()


def test_an_annotated_image_is_as_its_annotations_count(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((16, 32, 3), np.uint8)).save(str(path), exif=exif.tobytes())
    shapes = [image_files.decode(path.read_bytes(), path, annotated=size).shape for size in ((32, 16), (16, 32), (1, 1))]
    assert shapes == [(16, 32, 3), (32, 16, 3), (32, 16, 3)]


def test_an_opaque_image_is_what_opencv_reads(tmp_path):
    scene = np.random.RandomState(0).randint(0, 256, (40, 60, 3), dtype=np.uint8)
    forms = {"a.jpg": scene, "b.png": scene, "c.png": scene[..., 0], "d.png": scene.astype(np.uint16) * 257, "e.bmp": scene,
             "f.tif": scene.astype(np.uint16) * 257, "g.png": scene[..., 0].astype(np.uint16) * 257, "h.webp": scene}  # fmt: skip
    for name, pixels in forms.items():
        cv2.imwrite(str(tmp_path / name), pixels)
        assert (read_image(tmp_path / name) == cv2.imread(str(tmp_path / name))[:, :, ::-1]).all(), name


def test_a_grey_image_of_16_bits_with_a_transparent_shade(tmp_path):
    """Pillow makes 255 of every shade beyond it."""
    grey = np.linspace(0, 65535, 8 * 12).reshape(8, 12).astype(np.uint16)
    rows, shade = [row.astype(">u2").tobytes() for row in grey], struct.pack(">H", grey[0, 1])
    (tmp_path / "grey.png").write_bytes(png(12, 8, (16, 0), rows))
    (tmp_path / "clear.png").write_bytes(png(12, 8, (16, 0), rows, (b"tRNS", shade)))
    right = read_image(tmp_path / "grey.png").copy()
    right[0, 1] = 255
    assert np.array_equal(read_image(tmp_path / "clear.png"), right) and len(np.unique(right)) > 50


@pytest.mark.parametrize("side", [60_000, 20_000])
@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg", "gif", "tif"])
def test_a_header_that_claims_too_much_takes_no_memory(suffix, side, tmp_path):
    path = tmp_path / f"bomb.{suffix}"
    if suffix == "png":
        path.write_bytes(png(side, side, (8, 6), [b"\0" * 100]))
    else:
        Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(str(path))
        content = bytearray(path.read_bytes())
        if suffix == "bmp":
            content[18:26] = struct.pack("<ii", side, side)
        elif suffix == "gif":
            content[6:10] = struct.pack("<HH", side, side)
        elif suffix == "jpg":
            place = content.index(b"\xff\xc0") + 5
            content[place : place + 4] = struct.pack(">HH", side, side)
        else:
            directory = struct.unpack_from("<I", content, 4)[0] + 2
            for entry in range(directory, directory + 24, 12):  # width and height come first
                content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, side)
        path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"bomb\.\w+ is not an image that can be read: it claims"):
        read_image(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def broken():
    whole = cv2.imencode(".jpg", np.random.RandomState(0).randint(0, 256, (64, 64, 3), dtype=np.uint8))[1].tobytes()
    drawn = cv2.imencode(".png", np.random.RandomState(0).randint(0, 256, (64, 64, 4), dtype=np.uint8))[1].tobytes()
    return {"empty": b"", "text": b"no image", "cut.jpg": whole[:2000], "cut.png": drawn[:2000], "head.png": drawn[:20],
            "head.jpg": whole[:4], "page.jpg": b"<html>", "tiff": b"II*\0\xff\xff\xff\xff", "odd.jpg": b"\xff\xd8" + b"\xff" * 99}  # fmt: skip


@pytest.mark.parametrize("name", broken())
def test_what_is_broken_is_one_sentence(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(broken()[name])
    with pytest.raises(UserError, match="is not an image that can be read"):
        read_image(path)


def test_a_folder_is_no_image(tmp_path):
    with pytest.raises(UserError, match="is a folder, and one image is asked for"):
        image_files.read_image(tmp_path)


def test_a_photo_with_something_behind_it_is_whole(tmp_path):
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(str(tmp_path / "phone.jpg"))
    with (tmp_path / "phone.jpg").open("ab") as stream:
        stream.write(b"\xff\xda a film, as phones put it there")
    assert (read_image(tmp_path / "phone.jpg") == 90).all()


# ---- names ----


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        (["a.jpg", "b.png"], ["a", "b"]),
        (["a.jpg", "a.png", "b.png"], ["a.jpg", "a.png", "b"]),
        (["a.jpg", "sub/a.jpg"], ["a.jpg", "sub-a.jpg"]),
        (["/x/street.jpg", "/x/street.png", "/x/sub/street.jpg"], ["x-street.jpg", "street.png", "sub-street.jpg"]),
        (["one/in/a.jpg", "two/in/a.jpg"], ["one-in-a.jpg", "two-in-a.jpg"]),
        (["a.jpg", "A.png"], ["a.jpg", "A.png"]),  # one file on a disk that knows no capitals
        (["a.jpg", "a.jpg", "a.jpg"], ["a.jpg", "a.jpg-2", "a.jpg-3"]),
        (["a.jpg", "a.jpg", "a.jpg-2.png"], ["a.jpg", "a.jpg-3", "a.jpg-2"]),
        (["a.jpg", "a.png", "a.jpg.png"], ["a.jpg", "a.png", "a.jpg.png"]),
        (["x/y-a.jpg", "y/a.jpg", "a.jpg"], ["y-a", "y-a.jpg", "a.jpg"]),
        ([], []),
    ],
)
def test_every_input_has_a_name_of_its_own(inputs, names):
    assert output_names([Path(each) for each in inputs]) == output_names(inputs) == names
