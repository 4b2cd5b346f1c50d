"""DICOM series with DICOM-SEG, written here by pydicom and highdicom."""

import warnings
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    hd = pytest.importorskip("highdicom")

from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.sr.codedict import codes  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1, generate_uid  # noqa: E402

from augkit import InputError  # noqa: E402
from augkit_dicom import Dicom  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:highdicom.*", "ignore::UserWarning:pydicom.*")

SIDE = 32
ONE = {"liver": "Liver"}
HALF = {"size": 32, "test_fraction": 0.5, "resize": "nearest"}


def image(number: int, series: str, patient: str = "P1", z: float | None = None, **changes) -> Dataset:
    """A CT slice whose stored numbers tell its place: 1000 + z everywhere, brighter in the square."""
    place = 2.5 * number if z is None else z
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.SOPClassUID = CTImageStorage
    one.SOPInstanceUID = generate_uid()
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
    one.StudyInstanceUID = generate_uid(entropy_srcs=[series, "study"])
    one.SeriesInstanceUID = series
    one.FrameOfReferenceUID = generate_uid(entropy_srcs=[series, "frame"])
    one.PatientID, one.PatientName, one.PatientBirthDate, one.PatientSex = patient, "Doe^Jane", "", ""
    one.StudyDate = one.StudyTime = one.AccessionNumber = one.ReferringPhysicianName = one.StudyID = ""
    one.Modality, one.SeriesNumber, one.InstanceNumber = "CT", 1, 100 - number
    one.Rows = one.Columns = SIDE
    one.PixelSpacing, one.SliceThickness = [0.5, 0.75], 2.5
    one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
    one.PositionReferenceIndicator = ""
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, 0
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    pixels = np.full((SIDE, SIDE), 1000 + int(place), np.uint16)
    pixels[8:16, 8:24] += 50
    one.PixelData = pixels.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(one, name)
        else:
            setattr(one, name, value)
    return one


def squares(count: int, shift: int = 0) -> np.ndarray:
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    masks[:, 8 + shift : 16 + shift, 8:24] = 1
    return masks


def segmentation(images, masks, labels=("Liver",), **options):
    """A DICOM-SEG of masks (n, h, w), or (n, h, w, segments)."""
    described = [
        hd.seg.SegmentDescription(
            number, label, codes.SCT.Organ, codes.SCT.Liver, hd.seg.SegmentAlgorithmTypeValues.MANUAL
        )
        for number, label in enumerate(labels, 1)
    ]
    return hd.seg.Segmentation(
        images,
        masks,
        options.pop("kind", hd.seg.SegmentationTypeValues.BINARY),
        described,
        generate_uid(),
        9,
        generate_uid(),
        1,
        "nobody",
        "none",
        "1",
        "0",
        **options,
    )


def write_patient(folder: Path, patient: str, count: int = 4, masks=None, labels=("Liver",), images=None, **changes):
    """Write a series in which names of files say nothing of the order, and its segmentation."""
    series = generate_uid()
    made = images or [image(number, series, patient, **changes) for number in range(count)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(made):
        one.save_as(folder / f"{(number * 7) % 10}.dcm", enforce_file_format=True)
    segmentation(made, squares(len(made)) if masks is None else masks, labels).save_as(folder / "seg.dcm")
    return made


def write(root: Path, count: int = 4, **options) -> Path:
    for patient in ("P1", "P2", "P3"):
        write_patient(root / patient, patient, count, **options)
    return root


def dataset(root: Path, **options) -> Dicom:
    return Dicom(root, **{"classes": ONE, **HALF, "seed": 3, **options})


def told(ask) -> list[str]:
    with pytest.raises(InputError) as caught:
        ask()
    return [str(problem) for problem in caught.value.problems]


def everything(found: Dicom):
    splits = found.load()
    images = np.concatenate([splits.train.images, splits.test.images])
    labels = np.concatenate([splits.train.labels, splits.test.labels])
    return images, labels, splits.train.ids + splits.test.ids


def test_slices_are_in_the_order_of_space_whatever_names_and_numbers_say(tmp_path):
    images, labels, ids = everything(dataset(write(tmp_path)))
    assert images.dtype == np.int16
    assert images[:, 0, 0, 0].tolist() == [-24, -22, -19, -17] * 3
    assert (labels == squares(12)).all()
    assert [name[-4:] for name in ids] == ["0000", "0001", "0002", "0003"] * 3


def test_order_follows_the_normal_of_the_plane(tmp_path):
    sagittal = [image(n, "1.2.3", ImageOrientationPatient=[0, 1, 0, 0, 0, -1]) for n in range(4)]
    for one, x in zip(sagittal, (5, -5, 0, 10), strict=True):
        one.ImagePositionPatient = [x, 0, 0]
        one.PixelData = np.full((SIDE, SIDE), 1000 + x, np.uint16).tobytes()
    write_patient(tmp_path / "a", "P1", images=sagittal)
    write_patient(tmp_path / "b", "P2")
    write_patient(tmp_path / "c", "P3")
    images, _, _ = everything(dataset(tmp_path))
    values = [one[0, 0, 0] for one in images]
    along = "".join(str(int(value)) + " " for value in values)
    assert "-14 -19 -24 -29" in along  # the normal of this plane is -x


def test_the_format_is_told_from_headers(tmp_path):
    found = dataset(write(tmp_path))
    assert str(found.format()) == "1 channel (ct; int16) and 1 class"
    assert found.format().classes == ("liver",)
    train = found.load().train
    assert found.format().promises(train.format)
    np.testing.assert_allclose(train.spacing[0], (0.5, 0.75))
    assert len(found.sources()) == 15


def test_a_group_is_a_hash_of_the_patient_and_no_name_is_kept(tmp_path):
    splits = dataset(write(tmp_path)).load()
    groups = set(splits.train.groups + splits.test.groups)
    assert len(groups) == 3
    assert not set(splits.train.groups) & set(splits.test.groups)
    everything_told = repr((splits.train.ids, splits.test.ids, groups, dataset(tmp_path).remarks()))
    assert not any(secret in everything_told for secret in ("Doe", "Jane", "'P1'"))


def test_two_series_of_one_patient_are_in_one_split(tmp_path):
    write(tmp_path)
    write_patient(tmp_path / "P1 again", "P1")
    splits = dataset(tmp_path).load()
    assert len(set(splits.train.groups + splits.test.groups)) == 3


def test_ct_without_rescale_is_refused(tmp_path):
    write(tmp_path)
    write_patient(tmp_path / "P4", "P4", RescaleIntercept=None)
    assert told(dataset(tmp_path).sources)[0].endswith(
        "is a CT image without RescaleSlope and RescaleIntercept, so its numbers are not Hounsfield units. "
        "Export it again with both"
    )


def test_a_rescale_that_is_no_whole_number_gives_float32(tmp_path):
    images, _, _ = everything(dataset(write(tmp_path, RescaleSlope=0.5)))
    assert images.dtype == np.float32
    assert images[0, 0, 0, 0] == -524


def test_padding_becomes_air(tmp_path):
    pixels = np.full((SIDE, SIDE), 1000, np.uint16)
    pixels[0] = 63000
    padded = {"PixelPaddingValue": 63000, "PixelData": pixels.tobytes()}
    found = dataset(write(tmp_path, **padded))
    images, _, _ = everything(found)
    assert (images[:, 0] == -1000).all()
    assert (images[:, 1:] == -24).all()
    assert any("12 of 12 images are said to have padding, which is made dark" in remark for remark in found.remarks())


def test_numbers_that_do_not_fit_are_refused(tmp_path):
    pixels = np.full((SIDE, SIDE), 65000, np.uint16)
    (problem, *_) = told(dataset(write(tmp_path, PixelData=pixels.tobytes())).load)
    assert "holds numbers 63976..63976; allowed: -32768..32767 (int16)" in problem


XRAY = {"Modality": "DX", "RescaleSlope": None, "RescaleIntercept": None, "BitsStored": 12, "HighBit": 11}


def test_monochrome1_is_turned_over_and_said_so(tmp_path):
    found = dataset(write(tmp_path, PhotometricInterpretation="MONOCHROME1", **XRAY))
    images, _, _ = everything(found)
    assert images.dtype == np.uint16
    assert images[0, 0, 0, 0] == 4095 - 1000
    assert any("12 of 12 images are MONOCHROME1 and turned over" in remark for remark in found.remarks())
    assert found.format().channels[0].meaning == "grey"


def test_a_voi_window_is_used_only_when_asked_for(tmp_path):
    write(tmp_path, WindowCenter=40, WindowWidth=400)
    assert dataset(tmp_path).format().channels[0].low is None
    (channel,) = dataset(tmp_path, window="voi").format().channels
    assert (channel.low, channel.high) == (-160, 240)
    write_patient(tmp_path / "P4", "P4", WindowCenter=[50, 60], WindowWidth=[100, 200])
    (problem,) = told(dataset(tmp_path, window="voi").sources)
    assert "has the VOI windows -160..240 in 12, 0..100 in 4 images; allowed with 'window: voi': one in all" in problem


def test_grey_may_be_shown_as_rgb(tmp_path):
    found = dataset(write(tmp_path), as_rgb=(-160, 240))
    assert found.format().rgb
    assert found.load().train.images.dtype == np.uint8


def colour(photometric: str, **changes):
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:] = (76, 85, 255) if photometric.startswith("YBR") else (254, 0, 0)  # both are red
    return {
        "PhotometricInterpretation": photometric,
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "Modality": "US",
        "RescaleSlope": None,
        "RescaleIntercept": None,
        "PixelData": pixels.tobytes(),
        **changes,
    }


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_ybr_becomes_rgb(tmp_path, photometric):
    found = dataset(write(tmp_path, **colour(photometric)))
    assert found.format().rgb
    images, _, _ = everything(found)
    assert np.abs(images[0, 0, 0].astype(int) - (254, 0, 0)).max() <= 1


def palette(red: list[int]) -> dict:
    tables = {"Red": red, "Green": [0, 0], "Blue": [0, 0]}
    names = {f"{name}PaletteColorLookupTableData": np.array(t, "<u2").tobytes() for name, t in tables.items()}
    shapes = {f"{name}PaletteColorLookupTableDescriptor": [2, 0, 16] for name in tables}
    one = {"PlanarConfiguration": None, "PixelData": squares(1)[0].tobytes()}
    return {**colour("PALETTE COLOR", SamplesPerPixel=1), **one, **names, **shapes}


def write_palette(root: Path, red: list[int]) -> Path:
    changes = {name: value for name, value in palette(red).items() if value is not None or name.startswith("Rescale")}
    return write(root, **changes)


def test_palettes_become_rgb_and_are_never_cut(tmp_path):
    images, labels, _ = everything(dataset(write_palette(tmp_path / "eight", [0, 0xC8C8])))
    assert images[..., 0][labels == 1].tolist() == [0xC8] * int((labels == 1).sum())
    assert images[..., 1:].max() == 0
    (problem, *_) = told(dataset(write_palette(tmp_path / "sixteen", [0, 0x1234])).load)
    assert "has a palette of 16-bit colours, which would be cut to 8 bits" in problem


def test_frames_that_a_segmentation_omits_are_background(tmp_path):
    masks = squares(4)
    masks[1] = 0
    write(tmp_path, masks=masks)
    seg = pydicom.dcmread(tmp_path / "P1" / "seg.dcm")
    assert seg.NumberOfFrames == 3
    kept = everything(dataset(tmp_path, empty="keep"))
    assert (kept[1] == np.concatenate([masks] * 3)).all()
    dropped = everything(dataset(tmp_path))
    assert [name[-4:] for name in dropped[2]] == ["0000", "0002", "0003"] * 3


def test_a_segmentation_of_another_series_is_refused_with_both_uids(tmp_path):
    write(tmp_path)
    images = [image(number, "1.2.3.4", "P9") for number in range(4)]
    segmentation(images, squares(4)).save_as(tmp_path / "P1" / "stray.dcm")
    (problem,) = told(dataset(tmp_path).sources)
    assert f"{tmp_path / 'P1' / 'stray.dcm'}: refers to the series 1.2.3.4; in the folder: " in problem
    assert pydicom.dcmread(tmp_path / "P1" / "0.dcm").SeriesInstanceUID in problem


def test_a_series_without_segmentation_is_refused_and_not_taken_for_background(tmp_path):
    write(tmp_path)
    for number in range(2):
        image(number, "1.2.3.4", "P1").save_as(tmp_path / "P1" / f"scout{number}.dcm", enforce_file_format=True)
    (problem,) = told(dataset(tmp_path).sources)
    assert "no DICOM-SEG refers to the series 1.2.3.4 (2 images)" in problem


def two_segments(shift: int) -> np.ndarray:
    return np.stack([squares(4), squares(4, shift)], axis=-1)


TWO = {"liver": "Liver", "spleen": ("Spleen", "Accessory spleen")}


def test_segments_are_classes_by_their_labels(tmp_path):
    write(tmp_path, masks=two_segments(8), labels=("Spleen", "Liver"))
    found = dataset(tmp_path, classes=TWO)
    _, labels, _ = everything(found)
    assert (labels == 2 * squares(12) + squares(12, 8)).all()
    native = list(found.native_masks(found.load().test.ids))
    assert (native[0] == labels[0]).all()


def test_segments_that_overlap_are_refused_naming_both(tmp_path):
    found = dataset(write(tmp_path, masks=two_segments(4), labels=("Liver", "Spleen")), classes=TWO)
    assert told(found.load)[0].partition(": ")[2] == (
        "has the segment 'Spleen' where 'Liver' is, in 64 pixels of slice 1, such as row 12, column 8; allowed: one "
        "class for each pixel. Correct the segmentation, or leave one of the two out"
    )


def test_a_segment_that_no_class_has_is_refused_unless_others_are_background(tmp_path):
    write(tmp_path, masks=two_segments(8), labels=("Liver", "Spleen"))
    problem = told(dataset(tmp_path).sources)[0]
    assert "has the segment 'Spleen'; allowed: Liver. Add a class for it, or write 'other_labels: back" in problem
    _, labels, _ = everything(dataset(tmp_path, other_labels="background"))
    assert (labels == squares(12)).all()


def test_a_label_map_segmentation_is_read(tmp_path):
    for patient in ("P1", "P2", "P3"):
        images = write_patient(tmp_path / patient, patient)
        kind = hd.seg.SegmentationTypeValues.LABELMAP
        masks = squares(4) + 2 * squares(4, 8)
        segmentation(images, masks, ("Liver", "Spleen"), kind=kind).save_as(tmp_path / patient / "seg.dcm")
    _, labels, _ = everything(dataset(tmp_path, classes=TWO))
    assert (labels == squares(12) + 2 * squares(12, 8)).all()


def test_a_fractional_segmentation_is_refused(tmp_path):
    images = write_patient(write(tmp_path) / "P4", "P4")
    kind = hd.seg.SegmentationTypeValues.FRACTIONAL
    segmentation(images, squares(4).astype(np.float32) / 2, kind=kind).save_as(tmp_path / "P4" / "seg.dcm")
    assert any(
        "is a FRACTIONAL segmentation; allowed: BINARY or LABELMAP" in one for one in told(dataset(tmp_path).load)
    )


def test_a_segmentation_that_lies_elsewhere_is_refused_with_both_places(tmp_path):
    write(tmp_path)
    file = tmp_path / "P1" / "seg.dcm"
    seg = pydicom.dcmread(file)
    plane = seg.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    right = f"{plane.ImagePositionPatient[2]:g}"
    plane.ImagePositionPatient = [0, 0, 2.0]
    seg.save_as(file)
    (problem,) = told(dataset(tmp_path).sources)
    assert f"has frame 2 at (0, 0, 2), the image that it refers to lies at (0, 0, {right}); allowed: equal" in problem


def test_positions_that_repeat_are_refused(tmp_path):
    write(tmp_path)
    twin = image(1, pydicom.dcmread(tmp_path / "P1" / "0.dcm").SeriesInstanceUID)
    twin.save_as(tmp_path / "P1" / "twin.dcm", enforce_file_format=True)
    (problem,) = told(dataset(tmp_path).sources)
    assert "lies where 7.dcm does ((0, 0, 2.5)); allowed: each place once in a series" in problem


def test_gaps_between_slices_are_remarked_on(tmp_path):
    write(tmp_path, count=6)
    images = [image(0, "1.2.3", "P4", z) for z in (0, 2.5, 5, 12.5, 15)]
    write_patient(tmp_path / "P4", "P4", images=images)
    (remark,) = dataset(tmp_path).remarks()
    assert remark.endswith("lie 2.5 mm apart, but 1 times more, such as 7.5 mm after 4.dcm. Are files missing?")


def test_slices_of_another_plane_in_one_series_are_refused(tmp_path):
    write(tmp_path)
    series = pydicom.dcmread(tmp_path / "P1" / "0.dcm").SeriesInstanceUID
    scout = image(9, series, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    scout.save_as(tmp_path / "P1" / "scout.dcm", enforce_file_format=True)
    assert "allowed: one plane and size in a series" in told(dataset(tmp_path).sources)[0]


def test_a_truncated_file_is_refused_by_its_header(tmp_path):
    file = write(tmp_path) / "P1" / "7.dcm"
    file.write_bytes(file.read_bytes()[:-1500])
    (problem, *_) = told(dataset(tmp_path).sources)
    assert problem.startswith(f"{file}: is cut off: it has ")
    file.write_bytes(b"not DICOM")
    assert told(dataset(tmp_path).sources)[0].startswith(
        f"{file}: is no DICOM file that can be read (InvalidDicomError)"
    )


def test_a_compression_without_decoder_is_named_with_what_to_install(tmp_path):
    if pydicom.pixels.get_decoder(JPEGLosslessSV1).is_available:
        pytest.skip("a decoder of JPEG Lossless is installed")
    file = write(tmp_path) / "P1" / "7.dcm"
    one = pydicom.dcmread(file)
    one.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    one.PixelData = encapsulate([b"no pixels"])
    one.save_as(file)
    (problem, *_) = told(dataset(tmp_path).sources)
    assert problem.startswith(f"{file}: is compressed by JPEG Lossless, Non-Hierarchical, First-Order Prediction ")
    assert ", for which no decoder is installed. Install one of: " in problem
    assert "pylibjpeg" in problem


def test_files_of_other_kinds_are_counted(tmp_path):
    write(tmp_path)
    for name in ("test-SR.dcm", "rtdose.dcm"):
        (tmp_path / name).write_bytes(Path(get_testdata_file(name)).read_bytes())
    (tmp_path / "notes.txt").write_text("not DICOM")
    assert any("2 DICOM files are neither images nor segmentations" in one for one in dataset(tmp_path).remarks())


def test_two_modalities_are_refused(tmp_path):
    write(tmp_path)
    write_patient(tmp_path / "P4", "P4", **{**XRAY, "Modality": "MR"})
    assert any("allowed: one kind of images" in one for one in told(dataset(tmp_path).sources))


def test_the_frames_of_an_enhanced_file_are_slices(tmp_path):
    write(tmp_path)
    for patient in ("P1", "P2", "P3"):
        singles = [pydicom.dcmread(path) for path in sorted((tmp_path / patient).glob("[0-9].dcm"))]
        for one in singles:
            one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        many = enhanced(singles)
        for path in (tmp_path / patient).iterdir():
            path.unlink()
        many.save_as(tmp_path / patient / "many.dcm", enforce_file_format=True)
        segmentation([many], squares(4)).save_as(tmp_path / patient / "seg.dcm")
    images, labels, _ = everything(dataset(tmp_path))
    assert images[:, 0, 0, 0].tolist() == [-24, -22, -19, -17] * 3
    assert (labels == squares(12)).all()


def enhanced(singles):
    from highdicom.legacy import LegacyConvertedEnhancedCTImage

    return LegacyConvertedEnhancedCTImage(singles, generate_uid(), 2, generate_uid(), 1)


def test_the_ct_and_the_mr_of_pydicom_are_read(tmp_path):
    for name in ("CT_small.dcm", "MR_small.dcm"):
        source = pydicom.dcmread(get_testdata_file(name))
        source.FrameOfReferenceUID = source.get("FrameOfReferenceUID") or generate_uid()
        for patient in ("P1", "P2", "P3"):
            folder = tmp_path / name / patient
            folder.mkdir(parents=True)
            source.SeriesInstanceUID, source.PatientID = generate_uid(), patient
            source.save_as(folder / "image.dcm")
            bright = (source.pixel_array > np.median(source.pixel_array))[None].astype(np.uint8)
            segmentation([source], bright).save_as(folder / "seg.dcm")
        found = dataset(tmp_path / name, size=64)
        images, labels, _ = everything(found)
        expected = source.pixel_array[::2, ::2] if name == "MR_small.dcm" else source.pixel_array
        assert found.format().channels[0].meaning == name[:2].lower()
        assert images.dtype == np.int16
        if name == "CT_small.dcm":
            centre = expected[1::2, 1::2][20:40, 20:40] - 1024
            np.testing.assert_array_equal(images[0, 20:40, 20:40, 0], centre)
        assert labels.any()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"window": (3, 2)}, "window: found [3, 2]; allowed: two numbers, the lower one first"),
        ({"window": "voi", "as_rgb": (0, 1)}, "as_rgb and window: found both"),
        ({"classes": {}}, "classes: found 0; allowed: 1 to 254"),
        (
            {"classes": {"a": "Liver", "b": ("Liver",)}},
            "classes: found the segment 'Liver' twice; allowed: in one class",
        ),
        ({"test_fraction": 0.0}, "test_fraction: found 0; allowed: above 0"),
    ],
)
def test_options_that_say_nothing_sure_are_refused(tmp_path, options, what):
    with pytest.raises(ValueError, match="found") as caught:
        dataset(tmp_path, **options)
    assert what in str(caught.value)
