"""ImageCodec: the bytes asked for, exact codes, small whole files, and clear refusals."""

from __future__ import annotations

import binascii
import itertools
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import recae
from recae.apply.compress.coding import HEAD_BYTES, ROW
from recae.errors import ConfigError, DataError, RecaeWarning, TrainingInterrupted
from recae.estimators.saved import Contents, write

from .conftest import discs


def test_the_bytes_asked_for_are_reached_on_validation_images(
    codec: recae.apply.compress.ImageCodec,
) -> None:
    lengths = [len(each) for each in codec.encode(discs(200, seed=2))]
    assert codec.bytes_ == pytest.approx(np.mean(lengths)) == pytest.approx(14, rel=0.02)


@pytest.mark.parametrize("asked", [9.0, 30.0])
def test_other_numbers_of_bytes_are_reached_and_more_of_them_show_more(asked: float) -> None:
    made = recae.apply.compress.ImageCodec(
        bytes_per_image=asked, hidden=(32,), latent=48, epochs=12
    )
    made.fit(discs(400, seed=0), discs(200, seed=2))
    assert made.bytes_ == pytest.approx(asked, rel=0.02)
    assert (made.psnr_ > 30) == (asked == 30)


def test_it_beats_its_own_principal_axes(codec: recae.apply.compress.ImageCodec) -> None:
    # An oracle of the same rate: principal components of the same images, rounded to steps, their
    # bits counted by the entropy of each place on the very images coded, which favours them.
    train, valid = (discs(n, seed).reshape(n, -1) / 255 for n, seed in ((400, 0), (200, 2)))
    mean = train.mean(0)
    axes = np.linalg.svd(train - mean, full_matrices=False)[2][:24]
    coordinates = (valid - mean) @ axes.T
    for step in np.geomspace(3, 0.05, 60):
        numbers = np.round(coordinates / step)
        bits = 0.0
        for column in numbers.T:
            shares = np.unique(column, return_counts=True)[1] / len(numbers)
            bits -= (shares * np.log2(shares)).sum()
        if bits / 8 > 14 - ROW.size:
            break
        error = np.square(numbers * step @ axes + mean - valid).mean()
    assert codec.psnr_ > -10 * np.log10(error)


def test_codes_are_near_the_bits_of_the_entropy_model(
    codec: recae.apply.compress.ImageCodec,
) -> None:
    images = discs(300, seed=5)
    bits = codec.bits(images)
    lengths = np.array([len(each) - ROW.size for each in codec.encode(images)])
    assert (lengths <= bits / 8 + 1.01).all()
    assert lengths.mean() <= bits.mean() / 8 + 0.8


def test_a_file_of_many_is_as_small_as_its_bits(
    codec: recae.apply.compress.ImageCodec, tmp_path: Path
) -> None:
    images = discs(300, seed=5)
    size = codec.write(tmp_path / "many", images).stat().st_size
    ideal = codec.bits(images).sum() / 8
    assert ideal - 8 <= size - HEAD_BYTES <= 1.002 * ideal + 8


def test_a_file_of_one_image_has_five_bytes_beside_its_code(
    codec: recae.apply.compress.ImageCodec, images: np.ndarray, tmp_path: Path
) -> None:
    path = codec.write(tmp_path / "one", images[:1])
    (written,) = codec.encode(images[:1])
    assert path.read_bytes() == written
    assert len(written) <= 5 + codec.bits(images[:1])[0] / 8 + 1.01
    assert np.array_equal(codec.read(path), codec.decode([written]))


# Every image that there can be.
ANY = arrays(np.uint8, st.tuples(st.integers(1, 5), st.just(10), st.just(10)))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(strange=ANY)
def test_codes_are_exact_for_any_images(
    codec: recae.apply.compress.ImageCodec, tmp_path: Path, strange: np.ndarray
) -> None:
    symbols = codec._symbols(strange)
    written = codec.encode(strange)
    for each, row in zip(written, symbols, strict=True):
        assert np.array_equal(codec._coder.decode_row(each[ROW.size :]), row)
    together = codec._coder.encode_columns(symbols)
    assert np.array_equal(codec._coder.decode_columns(together, len(symbols)), symbols)
    back = codec.decode(written)
    assert back.dtype == np.uint8 and back.shape == strange.shape
    assert np.array_equal(codec.read(codec.write(tmp_path / "file", strange, overwrite=True)), back)


def test_an_image_becomes_the_same_whatever_the_batch(
    codec: recae.apply.compress.ImageCodec, images: np.ndarray
) -> None:
    together = codec.encode(images)
    order = np.random.default_rng(0).permutation(len(images))
    mixed = codec.encode(images[order])
    # A number that lies between two steps may be rounded to either.
    assert np.mean([one == together[i] for one, i in zip(mixed, order, strict=True)]) > 0.97
    assert codec.encode(images) == together
    alone = [codec.encode(images[i : i + 1])[0] for i in range(0, 120, 17)]
    assert np.mean([one == other for one, other in zip(alone, together[::17], strict=True)]) > 0.8
    decoded = codec.decode(together).astype(int)
    for some in (order, order[:1]):
        apart = np.abs(codec.decode([together[i] for i in some]) - decoded[some])
        assert apart.max() <= 1 and apart.mean() < 1e-3
    assert codec.decode([]).shape == (0, 10, 10)


def spoiled(content: bytes) -> list[bytes]:
    """Every cut, every altered byte in some ways, and two that are too long."""
    found = [content[:cut] for cut in range(len(content))]
    for place, change in itertools.product(range(len(content)), (1, 16, 128, 255)):
        other = bytes([content[place] ^ change])
        found.append(content[:place] + other + content[place + 1 :])
    return [*found, content + b"\0", content + content]


@pytest.mark.parametrize("n", [1, 3])
def test_every_cut_and_every_altered_byte_is_refused(
    codec: recae.apply.compress.ImageCodec, images: np.ndarray, tmp_path: Path, n: int
) -> None:
    path = codec.write(tmp_path / "file", images[:n])
    for bad in spoiled(path.read_bytes()):
        path.write_bytes(bad)
        with pytest.raises(DataError):
            codec.read(path)


@settings(max_examples=30, deadline=None)
@given(strange=arrays(np.uint8, (1, 10, 10)))
def test_spoiled_images_are_refused_whatever_they_show(
    codec: recae.apply.compress.ImageCodec, strange: np.ndarray
) -> None:
    for bad in spoiled(codec.encode(strange)[0]):
        with pytest.raises(DataError):
            codec.decode([bad])


def test_no_altered_byte_can_slip_through_the_checksum() -> None:
    # CRC-16 is linear: what an altered byte changes depends on its place alone.
    for place in range(300):
        for change in range(1, 256):
            assert binascii.crc_hqx(bytes([change]) + bytes(place), 0) != 0


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(100), b"RIFF" * 20])
def test_foreign_files_are_refused(
    codec: recae.apply.compress.ImageCodec, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "foreign").write_bytes(content)
    with pytest.raises(DataError, match="foreign"):
        codec.read(tmp_path / "foreign")


def test_another_codecs_files_are_refused(
    codec: recae.apply.compress.ImageCodec, images: np.ndarray, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecaeWarning)
        other = recae.apply.compress.ImageCodec(
            bytes_per_image=14, hidden=(8,), latent=4, epochs=2
        ).fit(images)
    for n in (1, 2):
        path = other.write(tmp_path / "other", images[:n], overwrite=True)
        with pytest.raises(DataError, match="codec .*wrote"):
            codec.read(path)


def test_other_versions_and_shapes_and_too_many_images_are_refused(
    codec: recae.apply.compress.ImageCodec, images: np.ndarray, tmp_path: Path
) -> None:
    path = codec.write(tmp_path / "file", images[:2])
    content = path.read_bytes()
    for place, value, complaint in (
        (4, b"\x09", "version 9"),
        (18, b"\x09", "9 x 10"),
        (13, b"\xff" * 4, "4,294,967,295 images"),  # more than the bytes allow
    ):
        bad = content[:place] + value + content[place + len(value) : -4]
        path.write_bytes(bad + zlib.crc32(bad).to_bytes(4, "big"))
        with pytest.raises(DataError, match=complaint):
            codec.read(path)


def test_many_images_of_the_most_probable_code_can_be_read(
    codec: recae.apply.compress.ImageCodec, tmp_path: Path
) -> None:
    tables = codec.tables_
    likeliest = np.array([[tables.table(j).argmax() for j in range(tables.latent)]])
    assert tables.bits(likeliest)[0] == pytest.approx(tables.least)
    plain = np.repeat(codec._images(likeliest.astype(np.int32)), 5000, axis=0)
    path = codec.write(tmp_path / "plain", plain)
    assert codec.read(path).shape == (5000, 10, 10)


def test_settings_that_ask_for_more_weights_than_there_are_take_no_memory(
    codec: recae.apply.compress.ImageCodec, tmp_path: Path
) -> None:
    settings, arrays = codec._settings(), codec._arrays()
    for change in (
        {"shape": [60_000, 60_000]},
        {"shape": [10**9, 10**9]},
        {"shape": [100]},
        {"shape": "aa"},
        {"params": settings["params"] | {"hidden": [10**9, 10**9]}},
    ):
        more = {"bytes": 1.0, "psnr": 1.0, "proof": codec._proof()}
        contents = Contents(settings | more | change, arrays)
        bad = write(type(codec), contents, tmp_path / "bad", overwrite=True)
        with pytest.raises(DataError, match="bad.* loaded"):
            recae.load(bad)


def test_images_that_may_not_be_written_are_read(codec: recae.apply.compress.ImageCodec) -> None:
    images = discs(3, seed=5)
    written = codec.encode(images)
    images.flags.writeable = False
    assert codec.encode(images) == written


def test_a_saved_codec_is_the_same(
    codec: recae.apply.compress.ImageCodec, images: np.ndarray, tmp_path: Path
) -> None:
    codec.save(tmp_path / "codec")
    loaded = recae.load(tmp_path / "codec")
    written = codec.encode(images)
    assert loaded.encode(images) == written
    assert np.array_equal(loaded.decode(written), codec.decode(written))
    assert (loaded.bytes_, loaded.psnr_, loaded.shape_) == (codec.bytes_, codec.psnr_, (10, 10))
    assert loaded.get_params() == codec.get_params()
    weights = sum(p.numel() for n, p in codec.network_.named_parameters() if ".prior." not in n)
    size = sum(file.stat().st_size for file in (tmp_path / "codec").iterdir())
    assert size < 2 * weights + 10_000  # two bytes a weight


def test_a_damaged_codec_is_refused(codec: recae.apply.compress.ImageCodec, tmp_path: Path) -> None:
    codec.save(tmp_path / "codec")
    config = tmp_path / "codec" / "config.json"
    text = config.read_text()
    for old, new in (
        ('"proof": ', '"proof": 1'),
        ('"hidden": [\n        32', '"hidden": [\n        33'),
        ('"shape"', '"shapes"'),
        ('"latent"', '"latents"'),
    ):
        assert old in text
        config.write_text(text.replace(old, new))
        with pytest.raises(DataError):
            recae.load(tmp_path / "codec")


def test_the_same_seed_gives_the_same_codec(images: np.ndarray) -> None:
    made = recae.apply.compress.ImageCodec(bytes_per_image=14, hidden=(16,), latent=24, epochs=8)
    first = made.clone().fit(images, seed=3)
    state = torch.get_rng_state()
    again = made.clone().fit(images, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    assert first._digest == again._digest != made.clone().fit(images, seed=4)._digest


def test_colours_and_long_images(tmp_path: Path) -> None:
    images = discs(300, seed=0, channels=3)[:, :7]
    made = recae.apply.compress.ImageCodec(
        bytes_per_image=16, hidden=(32,), latent=32, epochs=10
    ).fit(images)
    back = made.read(made.write(tmp_path / "coloured", images))
    assert back.shape == (300, 7, 10, 3)
    assert np.square(back - images.astype(float)).mean() < images.astype(float).var() / 10


def test_more_pixels_than_their_covariance_would_fit() -> None:
    images = np.repeat(np.repeat(discs(60, seed=0), 5, axis=1), 5, axis=2)  # 2,500 pixels
    made = recae.apply.compress.ImageCodec(
        bytes_per_image=14, hidden=(8,), latent=16, epochs=3
    ).fit(images)
    assert made.decode(made.encode(images)).shape == images.shape


def test_a_torch_tensor_will_do(codec: recae.apply.compress.ImageCodec, images: np.ndarray) -> None:
    assert codec.encode(torch.from_numpy(images)) == codec.encode(images)


def test_settings_of_numpy_will_do() -> None:
    images = np.random.default_rng(0).integers(0, 255, (20, 3, 3)).astype(np.uint8)
    options = {"lr": np.float32(2e-3), "latent": np.int64(4), "epochs": np.int64(2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", recae.RecaeWarning)  # the bytes, after two epochs
        codec = recae.apply.compress.ImageCodec(bytes_per_image=8, hidden=(4,), **options)
        assert codec.fit(images, progress=False).decode(codec.encode(images)).shape == (20, 3, 3)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (np.zeros((2, 10, 10)), "uint8"),
        (np.zeros((10, 10), np.uint8), r"images\[None\]"),
        (np.zeros((0, 10, 10), np.uint8), "no images"),
        (np.zeros((2, 10, 0), np.uint8), "no images"),
        ([[1], [2, 3]], "images .*one array"),
        (np.zeros((1, 1, 2**16), np.uint8), "too large"),
        ("images", "uint8"),
        (np.full((3, 10, 10), 7, np.uint8), "identical"),
    ],
)
def test_what_are_no_images_is_refused(bad: object, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        recae.apply.compress.ImageCodec().fit(bad)


def test_images_of_another_shape_are_refused(codec: recae.apply.compress.ImageCodec) -> None:
    with pytest.raises(DataError, match=r"\(9, 10\); the codec's have \(10, 10\)"):
        codec.encode(np.zeros((2, 9, 10), np.uint8))
    with pytest.raises(DataError, match=r"\(9, 10\)"):
        recae.apply.compress.ImageCodec().fit(discs(4, 0), np.zeros((2, 9, 10), np.uint8))


def test_what_is_decoded_must_be_a_list_of_bytes(codec: recae.apply.compress.ImageCodec) -> None:
    with pytest.raises(DataError, match="list"):
        codec.decode(b"123456")
    with pytest.raises(DataError, match="number 0 is int"):
        codec.decode([7])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "params", [{"bytes_per_image": 5}, {"latent": 0}, {"hidden": (0,)}, {"epochs": 1}]
)
def test_bad_settings_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        recae.apply.compress.ImageCodec(**params).fit(discs(4, 0))


def test_missing_files_are_data_errors(
    codec: recae.apply.compress.ImageCodec, tmp_path: Path
) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            codec.read(path)


def test_bytes_that_cannot_be_reached_are_warned_of() -> None:
    # Two images need one bit each, however many bytes are asked for.
    with pytest.warns(RecaeWarning, match="bytes_per_image=40"):
        recae.apply.compress.ImageCodec(bytes_per_image=40, hidden=(4,), latent=4, epochs=2).fit(
            discs(2, 0)
        )


def test_ctrl_c_leaves_a_codec_that_works(
    images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recae.training import loop

    real, calls = loop._epoch, []

    def epoch(*arguments: object) -> float:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_epoch", epoch)
    made = recae.apply.compress.ImageCodec(bytes_per_image=14, hidden=(16,), latent=24, epochs=8)
    with pytest.raises(TrainingInterrupted):
        made.fit(images)
    assert np.mean([len(each) for each in made.encode(images)]) == pytest.approx(14, rel=0.03)
    assert made.decode(made.encode(images)).shape == images.shape


def test_without_constriction_the_error_says_what_to_install(
    codec: recae.apply.compress.ImageCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "constriction", None)
    vars(codec).pop("_coder", None)
    with pytest.raises(ConfigError, match=r"recae\[compress\]"):
        codec.encode(discs(1, 0))
