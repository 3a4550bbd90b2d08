"""Sources of training data: one small reader per data set as it is published.

A reader turns a folder into a ``Source``: stills (one picture, several objects) and tracks (one target through a
clip). It reads annotations only; pictures stay on disk until they are drawn. To add one, write a module here with a
function under ``@source`` and import it below.
"""

from lockon.data.sources import coco, det, folders, got10k, lasot, trackingnet, vid, youtube_bb, youtube_vos
from lockon.data.sources.base import Masks, Shot, Source, Still, Track
from lockon.data.sources.folders import read_clips, read_images
from lockon.data.sources.registry import SOURCES, SourceInfo, read_source, read_sources, source
from lockon.pictures import Frames, NumberedFrames, PictureFile, decode

__all__ = [
    "SOURCES",
    "Frames",
    "Masks",
    "NumberedFrames",
    "PictureFile",
    "Shot",
    "Source",
    "SourceInfo",
    "Still",
    "Track",
    "coco",
    "decode",
    "det",
    "folders",
    "got10k",
    "lasot",
    "read_clips",
    "read_images",
    "read_source",
    "read_sources",
    "source",
    "trackingnet",
    "vid",
    "youtube_bb",
    "youtube_vos",
]
