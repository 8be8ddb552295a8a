"""Uploaded pictures: what draws is kept, what tells on people is not, what is none is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpulse.rules.logos import MOST_BYTES, PictureRefused, picture
from tests import pictures
from tests.pictures import SECRET, chunk, gif, jpeg, png, webp

KINDS = {
    "image/png": (png(extra=chunk(b"tEXt", SECRET) + chunk(b"eXIf", SECRET), after=SECRET), 2, 2),
    "image/jpeg": (jpeg(), 5, 3),
    "image/gif": (gif(), 3, 2),
    "image/webp": (webp(), 7, 4),
}


@pytest.mark.parametrize("media_type", KINDS)
def test_what_the_picture_does_not_need_is_left_out(media_type: str) -> None:
    data, width, height = KINDS[media_type]
    assert SECRET in data
    found = picture(data)
    assert (found.media_type, found.width, found.height) == (media_type, width, height)
    assert SECRET not in found.body
    assert b"evil" not in found.body
    assert picture(found.body) == found


@pytest.mark.parametrize("media_type", KINDS)
def test_a_picture_that_is_cut_anywhere_is_refused(media_type: str) -> None:
    whole = picture(KINDS[media_type][0]).body
    for length in range(len(whole)):
        with pytest.raises(PictureRefused):
            picture(whole[:length])


def test_a_plain_picture_stays_as_it_is() -> None:
    assert picture(png()).body == png()


def test_the_flags_of_a_webp_say_what_is_left() -> None:
    assert picture(webp()).body[20] == 0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is neither PNG, JPEG, GIF nor WebP"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is neither PNG, JPEG, GIF nor WebP"),
        (b"%PDF-1.7", "is neither PNG, JPEG, GIF nor WebP"),
        (bytes(MOST_BYTES + 1), "is larger than 256 KiB"),
        (png(4097, 1), "is wider or higher than 4096 pixels, or empty"),
        (png(0, 1), "is wider or higher than 4096 pixels, or empty"),
        (png(4000, 4000), "has more than 4 million pixels"),
        (png()[:-6] + b"xxxxxx", "is damaged: a checksum does not fit"),
        (png()[:8] + chunk(b"IDAT", b"x"), "is damaged: it does not begin as a PNG does"),
        (
            b"\x89PNG\r\n\x1a\n" + png()[8:33] + chunk(b"IEND", b""),
            "is damaged: there is no picture in it",
        ),
        (jpeg(frame=0xC9), "is a kind of JPEG that browsers do not draw"),
        (b"\xff\xd8\xff\xd9", "is damaged: there is no picture in it"),
        (b"\xff\xd8\xff\xd8", "is damaged: a marker is out of place"),
        (b"\xff\xd8\xff\xe0\x00\x02\x00", "is damaged: a marker is missing"),
        (b"GIF89a" + bytes(7) + b"\x3b", "is damaged: there is no picture in it"),
        (b"GIF89a" + bytes(7) + b"\x77", "is damaged: a block is unknown"),
        (b"RIFF\x04\0\0\0WEBP", "is damaged: there is no picture in it"),
        (
            b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0" + bytes(10),
            "is damaged: it does not begin with a key frame",
        ),
    ],
)
def test_what_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(PictureRefused) as refused:
        picture(data)
    assert str(refused.value) == why


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_broken_pictures_are_refused_and_break_nothing(
    media_type: str, data: st.DataObject
) -> None:
    broken = bytearray(KINDS[media_type][0])
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = picture(bytes(broken))
    except PictureRefused:
        return
    assert len(found.body) <= MOST_BYTES
    assert picture(found.body).body == found.body


def test_a_simple_lossy_webp() -> None:
    frame = bytes(3) + b"\x9d\x01\x2a" + (9).to_bytes(2, "little") + (8).to_bytes(2, "little")
    inner = b"WEBP" + pictures._riff(b"VP8 ", frame)
    found = picture(b"RIFF" + len(inner).to_bytes(4, "little") + inner)
    assert (found.width, found.height) == (9, 8)
