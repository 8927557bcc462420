"""`POST /v1/predict` says what the committed model says, and survives whatever is sent to it."""

from __future__ import annotations

import io
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from pyfl.apps import App, load_app
from pyfl.serving.limits import Limits
from tests.serving.digits_peer import DigitsPeer
from tests.serving.fake_peer import FakePeer
from tests.serving.tcp import client_of, served

PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def digits() -> DigitsPeer:
    return DigitsPeer()


@pytest.fixture(scope="module")
def http(digits: DigitsPeer) -> Iterator[httpx.Client]:
    with served(digits) as server, client_of(server) as http:
        yield http


def encoded(kind: str = "PNG", size: tuple[int, int] = (8, 8), **options: Any) -> bytes:
    pixels = np.random.default_rng(7).integers(0, 256, (size[1], size[0]), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def pixels_of(image: bytes) -> np.ndarray:
    return (np.asarray(Image.open(io.BytesIO(image)), np.float32) / 255).reshape(1, 8, 8, 1)


def confidences(found: dict[str, Any]) -> list[float]:
    return [one["confidence"] for one in sorted(found["top"], key=lambda one: one["label"])]


def test_an_image_as_body_in_a_form_and_as_an_array_give_what_the_model_gives(http: httpx.Client, digits: DigitsPeer) -> None:
    image = encoded()
    expected = digits.expected(pixels_of(image))[0]
    array = {"array": pixels_of(image).tolist()}
    for answer in (
        http.post("/v1/predict?top=10", content=image, headers=PNG),
        http.post("/v1/predict?top=10", content=image, headers={"Content-Type": "application/octet-stream"}),
        http.post("/v1/predict?top=10", files={"image": ("digit.png", image, "image/png")}),
        http.post("/v1/predict?top=10", json=array),
    ):
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (found["round"], found["digest"]) == (3, digits.held.saved.model)
        [prediction] = found["predictions"]
        np.testing.assert_allclose(confidences(prediction), expected, atol=1e-6)
        assert prediction["label"] == int(expected.argmax())
        assert prediction["class"] == str(prediction["label"])
        assert prediction["top"][0]["confidence"] == prediction["confidence"] == max(confidences(prediction))


def test_a_batch_is_answered_in_its_order_and_one_input_is_a_batch_of_one(http: httpx.Client, digits: DigitsPeer) -> None:
    batch = np.random.default_rng(3).random((70, 8, 8, 1), np.float32)
    answer = http.post("/v1/predict?top=1", json={"array": batch.tolist()}).json()["predictions"]
    assert [one["label"] for one in answer] == digits.expected(batch).argmax(axis=1).tolist()
    assert len(answer[0]["top"]) == 1
    single = http.post("/v1/predict", json={"array": batch[4].tolist()}).json()["predictions"]
    assert [one["label"] for one in single] == [answer[4]["label"]]


def test_a_newer_commit_is_what_answers_the_next_question() -> None:
    peer = DigitsPeer()
    image = encoded()
    with served(peer) as server, client_of(server) as http:
        for number in (3, 4, 8):
            peer.commit(number)
            found = http.post("/v1/predict?top=10", content=image, headers=PNG).json()
            assert (found["round"], found["digest"]) == (number, peer.held.saved.model)
            expected = peer.expected(pixels_of(image))[0]
            np.testing.assert_allclose(confidences(found["predictions"][0]), expected, atol=1e-5)  # additions in another order


def test_before_the_first_commit_there_is_nothing_to_ask_and_nothing_to_fetch() -> None:
    for have in (-1, 0):
        with served(FakePeer(have=have, app=load_app("digits"))) as server, client_of(server) as http:
            answer = http.post("/v1/predict", content=encoded(), headers=PNG)
            assert answer.status_code == 409
            assert "No round has been committed yet" in answer.json()["error"]
            assert http.get("/v1/model").status_code == 409


@pytest.mark.parametrize(("app", "told"), [(None, "handed over as an object"), (load_app("linear"), "has no Keras model")])
def test_an_app_that_has_no_model_to_ask_says_so(app: App | None, told: str) -> None:
    with served(FakePeer(app=app)) as server, client_of(server) as http:
        answer = http.post("/v1/predict", json={"array": [[1.0]]})
        assert answer.status_code == 404
        assert told in answer.json()["error"]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("digit.png", bytes(1_000_000))
    return out.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", (8, 16), exif=exif)


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><svg>&b;</svg>'
HOSTILE: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "nothing": (lambda: b"", 422, "no bytes"),
    "random bytes": (lambda: np.random.default_rng(1).bytes(4096), 422, "not an image"),
    "a bomb by its header": (lambda: png_of(60_000, 60_000, b""), 422, "pixels"),
    "a bomb in its data": (lambda: png_of(5_000, 5_000, bytes(5_001 * 5_000)), 422, "pixels"),
    "a bomb beyond every size": (lambda: png_of(2**31 - 1, 2**31 - 1, b""), 422, ""),
    "no pixels": (lambda: png_of(0, 0, b""), 422, ""),
    "a PNG with less data than it says": (lambda: png_of(64, 64, b"\0" * 10), 422, ""),
    "a PNG whose text chunk is a bomb": (
        lambda: encoded()[:33] + chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000))) + encoded()[33:], 422, ""
    ),
    "a truncated JPEG": (lambda: encoded("JPEG", (64, 64))[:-200], 422, "damaged"),
    "a header and nothing else": (lambda: encoded("JPEG")[:20], 422, ""),
    "an SVG": (lambda: SVG, 422, "not an image"),
    "an SVG with entities": (lambda: ENTITIES, 422, "not an image"),
    "a zip": (zipped, 422, "not an image"),
    "a PDF": (lambda: b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", 422, "not an image"),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file", 422, "not an image"),
    "a picture that is a zip too": (lambda: encoded() + zipped(), 200, ""),
    "a picture that is a page too": (lambda: encoded() + b"<script>alert(1)</script>", 200, ""),
    "a GIF that is JavaScript too": (lambda: b"GIF89a/*" + encoded("GIF")[8:], 200, ""),
    "a picture turned by its camera": (turned, 200, ""),
    "a picture of another size and mode": (lambda: encoded("TIFF", (300, 20)), 200, ""),
    "one pixel": (lambda: encoded("BMP", (1, 1)), 200, ""),
    "a long thin one": (lambda: encoded("PNG", (20_000, 1)), 200, ""),
    "a byte too much": (lambda: encoded() + bytes(10_000_001), 413, "10,000,000"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", [False, True], ids=["body", "form"])
def test_a_hostile_picture_gets_a_sentence(http: httpx.Client, name: str, form: bool) -> None:
    make, code, told = HOSTILE[name]
    content = make()
    if form:
        answer = http.post("/v1/predict", files={"image": ("x.png", content, "image/png")})
    else:
        answer = http.post("/v1/predict", content=content, headers=PNG)
    assert answer.status_code == code, answer.text
    if code != 200:
        assert told in answer.json()["error"]
        assert len(answer.json()["error"]) < 500


def test_orientation_in_a_picture_is_followed(http: httpx.Client) -> None:
    upright = io.BytesIO()
    Image.open(io.BytesIO(turned())).transpose(Image.Transpose.ROTATE_270).save(upright, "PNG")
    answers = [http.post("/v1/predict?top=10", content=content, headers=PNG).json() for content in (turned(), upright.getvalue())]
    assert answers[0] == answers[1]


JSON = {"Content-Type": "application/json"}
ROW = "[[0],[0],[0],[0],[0],[0],[0],[0]]"
TEXTS = {
    "nothing": "",
    "no object": "[]",
    "no array": "{}",
    "another key": '{"array": [], "url": "file:///etc/passwd"}',
    "a number": '{"array": 1}',
    "an empty batch": '{"array": []}',
    "NaN": '{"array": [NaN]}',
    "infinity": '{"array": [Infinity]}',
    "beyond float64": f'{{"array": [[{",".join([ROW] * 7)}, {ROW.replace("[0]", "[1e999]", 1)}]]}}',
    "beyond float32": f'{{"array": [[{",".join([ROW] * 7)}, {ROW.replace("[0]", "[1e200]", 1)}]]}}',
    "a very long whole number": '{"array": [' + "9" * 5000 + "]}",
    "text for numbers": f'{{"array": [[{",".join([ROW] * 7)}, {ROW.replace("0", chr(34) + "1" + chr(34))}]]}}',
    "objects": '{"array": [{"__class__": "os"}]}',
    "null": '{"array": [[null]]}',
    "true": f'{{"array": [[{",".join([ROW.replace("0", "true")] * 8)}]]}}',
    "ragged": '{"array": [[1, 2], [3]]}',
    "one side short": f'{{"array": [[{",".join([ROW] * 7)}]]}}',
    "flat": '{"array": [' + ",".join(["0"] * 64) + "]}",
    "deep": '{"array": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "deeper than NumPy": '{"array": ' + "[" * 100 + "]" * 100 + "}",
    "too many": '{"array": [' + ",".join(["[" + ",".join([ROW] * 8) + "]"] * 1025) + "]}",
    "no UTF-8": '{"array": "\udcff"}',
    "two values": '{"array": [1]}{"array": [1]}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_array_gets_a_sentence(http: httpx.Client, name: str) -> None:
    answer = http.post("/v1/predict", content=TEXTS[name].encode("utf-8", "surrogateescape"), headers=JSON)
    assert answer.status_code == 422, answer.text
    assert 20 < len(answer.json()["error"]) < 1000


def test_a_hundred_megabytes_are_refused_without_being_kept(http: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(1600):
            yield bytes(65536)

    for kind in ("image/png", "application/json", "multipart/form-data; boundary=x"):
        for content in (bytes(100_000_000), endless()):
            try:
                assert http.post("/v1/predict", content=content, headers={"Content-Type": kind}).status_code == 413
            except httpx.TransportError:  # it was refused and the connection closed while the rest was still being sent
                continue


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml", "image", "a" * 5000, "/", "audio/png"]
)
def test_another_content_type_is_refused_with_those_that_are_taken(http: httpx.Client, kind: str) -> None:
    answer = http.post("/v1/predict", content=encoded(), headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "multipart/form-data" in answer.json()["error"]


FORM = "multipart/form-data; boundary=x"


def part(disposition: bytes) -> bytes:
    return b"--x\r\nContent-Disposition: form-data; %s\r\n\r\n1\r\n--x--\r\n" % disposition


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        (FORM, b""),
        (FORM, b"--x\r\n\r\nno headers\r\n--x--"),
        (FORM, part(b'name="image"')),
        (FORM, part(b'name="other"; filename="a"')),
        (FORM, part(b'name="image"; filename="../../x"')),
        (FORM, part(b'name="a"') * 1000),
        (FORM, b"--x\r\n" + b"A: b\r\n" * 100_000),
        ("multipart/form-data; boundary=" + "x" * 4000, b"--x"),
    ],
)
def test_a_form_without_the_picture_gets_a_sentence(http: httpx.Client, kind: str, body: bytes) -> None:
    answer = http.post("/v1/predict", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422, answer.text
    assert len(answer.json()["error"]) > 20


@pytest.mark.parametrize("query", ["top=0", "top=101", "top=x", "top=-1", "top=1e3", "invert=perhaps", "top=" + "9" * 400])
def test_a_query_beyond_its_bounds_is_refused(http: httpx.Client, query: str) -> None:
    answer = http.post(f"/v1/predict?{query}", content=encoded(), headers=PNG)
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["error"]


def test_questions_beyond_those_that_may_wait_are_told_to_come_again() -> None:
    peer, busy, go_on = DigitsPeer(), threading.Event(), threading.Event()
    held = peer.model()

    def slow() -> Any:
        busy.set()
        assert go_on.wait(60)
        return held

    peer.model = slow  # type: ignore[method-assign]
    with served(peer, Limits(waiting=1)) as server, client_of(server) as first, client_of(server) as second:
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(first.post("/v1/predict", content=encoded(), headers=PNG).status_code))
        asking.start()
        assert busy.wait(60)
        refused = second.post("/v1/predict", content=encoded(), headers=PNG)
        go_on.set()
        asking.join(60)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert answers == [200]
        assert second.post("/v1/predict", content=encoded(), headers=PNG).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up_and_the_next_is_answered() -> None:
    peer, go_on = DigitsPeer(), threading.Event()
    held = peer.model()

    def slow() -> Any:
        assert go_on.wait(60)
        return held

    peer.model = slow  # type: ignore[method-assign]
    with served(peer, Limits(answer_s=0.05)) as server, client_of(server) as http:
        late = http.post("/v1/predict", content=encoded(), headers=PNG)
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        go_on.set()
        assert http.get("/v1/status").status_code == 200
