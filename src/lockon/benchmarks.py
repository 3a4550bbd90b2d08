"""The field's benchmarks by name: what they are, how they lie on disk, and who scores them.

Facts alone, at the bottom of everything: models have settings for them, ``evaluation.benchmarks`` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BenchmarkInfo:
    """What there is to know of a benchmark before it is opened.

    Attributes:
        title: as papers call it.
        reader: the module of ``evaluation.benchmarks`` that reads it.
        toolkit: whose conventions the field's papers score it with: one of ``evaluation.metrics.TOOLKITS``, or for VOT
            the kind of experiment.
        layout: the folders and files that are expected in its root, for errors, help and documents.
        sequences, frames: how many it has; None where that is not fixed, or publications disagree.
    """

    title: str
    reader: str
    toolkit: str
    layout: str
    sequences: int | None = None
    frames: int | None = None


_OTB = (
    "NAME/img/0001.jpg and so on beside NAME/groundtruth_rect.txt; two targets of one folder (Jogging, Skating2) have "
    "groundtruth_rect.1.txt and groundtruth_rect.2.txt"
)
_UAV = "data_seq/UAV123/FOLDER/000001.jpg and so on; anno/{}/NAME.txt"
_NFS = "NAME/{0}/NAME/00001.jpg and so on; NAME/{0}/NAME.txt"
_LASOT = (
    "CLASS/NAME or NAME alone, such as {0}/{0}-1, and in it img/00000001.jpg and so on, groundtruth.txt, "
    "full_occlusion.txt, out_of_view.txt"
)
_GOT10K = "{0}/list.txt; {0}/NAME/00000001.jpg and so on beside {0}/NAME/groundtruth.txt"
_VOT = "list.txt; NAME/groundtruth.txt, NAME/color/00000001.jpg and so on (in old copies NAME/00000001.jpg)"

BENCHMARKS = {
    "otb2015": BenchmarkInfo("OTB-2015", "otb", "pysot", _OTB, 100, 59_035),
    "otb2013": BenchmarkInfo("OTB-2013", "otb", "pysot", _OTB, 51, 29_486),
    "otb50": BenchmarkInfo("OTB-50", "otb", "pysot", _OTB, 50, 26_972),
    "uav123": BenchmarkInfo("UAV123", "uav", "pytracking", _UAV.format("UAV123"), 123, 112_578),
    "uav20l": BenchmarkInfo("UAV20L", "uav", "pytracking", _UAV.format("UAV20L"), 20, 58_670),
    "nfs": BenchmarkInfo(
        "NfS, 30 fps",
        "nfs",
        "pytracking",
        f"{_NFS.format(30)}; or as pytracking has it, sequences/NAME/00001.jpg and so on; anno/nfs_NAME.txt",
        100,
    ),
    "nfs240": BenchmarkInfo("NfS, 240 fps", "nfs", "got10k", _NFS.format(240), 100),
    "lasot": BenchmarkInfo("LaSOT, test", "lasot", "pytracking", _LASOT.format("airplane"), 280, 685_360),
    "lasot_ext": BenchmarkInfo("LaSOT extension", "lasot", "pytracking", _LASOT.format("atv"), 150, 359_169),
    "got10k": BenchmarkInfo("GOT-10k, test", "got10k", "got10k-ao", _GOT10K.format("test"), 180, 22_834),
    "got10k_val": BenchmarkInfo(
        "GOT-10k, val",
        "got10k",
        "got10k-ao",
        f"{_GOT10K.format('val')}, absence.label, cover.label, meta_info.ini",
        180,
        21_007,
    ),
    "trackingnet": BenchmarkInfo(
        "TrackingNet, test",
        "trackingnet",
        "trackingnet",
        "TEST/frames/NAME/0.jpg, 1.jpg and so on; TEST/anno/NAME.txt",
        511,
        225_589,
    ),
    "avist": BenchmarkInfo(
        "AVisT",
        "avist",
        "pytracking",
        "sequences/NAME/img_00001.jpg and so on; anno/NAME.txt; full_occlusion/NAME_full_occlusion.txt; "
        "out_of_view/NAME_out_of_view.txt",
        120,
    ),
    "vot2016": BenchmarkInfo("VOT2016", "vot", "vot-supervised", _VOT, 60, 21_455),
    "vot2018": BenchmarkInfo("VOT2018", "vot", "vot-supervised", _VOT, 60, 21_356),
    "vot2019": BenchmarkInfo("VOT2019", "vot", "vot-supervised", _VOT, 60, 19_935),
    "vot2020": BenchmarkInfo("VOT2020", "vot", "vot-multistart", f"{_VOT}, NAME/anchor.value", 60, 19_945),
    "vot2021": BenchmarkInfo("VOT2021", "vot", "vot-multistart", f"{_VOT}, NAME/anchor.value"),
    "vot2022": BenchmarkInfo("VOT2022", "vot", "vot-multistart", f"{_VOT}, NAME/anchor.value"),
    "vot2020_lt": BenchmarkInfo("VOT2020, long-term", "vot", "vot-longterm", _VOT, 50, 215_294),
    "folder": BenchmarkInfo(
        "sequences of your own",
        "folder",
        "plain",
        "NAME/groundtruth.txt, with one x,y,w,h line per picture, beside 00000001.jpg (or .png) and so on",
    ),
}
