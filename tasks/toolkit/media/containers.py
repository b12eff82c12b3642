"""Tells the container of a media file from its first bytes, and lists what may be decoded.

FFmpeg would guess, and some of its hundreds of formats are lists of other files to open. None of
those named here opens another file.
"""

import os
import re
from typing import Literal

from msgspec import Struct

from dragon.task import Descriptor

SNIFF_BYTES = 4096
"""How many first bytes of a file `sniff` wants."""


class Container(Struct, frozen=True, kw_only=True):
    """A container that media are read from; `demuxer` is FFmpeg's name of what reads it.

    `tells_duration` false: FFmpeg would only estimate it, the packets have to be counted.
    """

    name: str
    demuxer: str
    video_type: str
    audio_type: str
    tells_duration: bool = True


def _audio(name: str, demuxer: str, content_type: str) -> Container:
    return Container(
        name=name,
        demuxer=demuxer,
        video_type=content_type,
        audio_type=content_type,
        tells_duration=demuxer not in ("aac", "mp3", "amr"),
    )


def _video(
    name: str, demuxer: str, video_type: str, audio_type: str, *, tells_duration: bool = True
) -> Container:
    return Container(
        name=name,
        demuxer=demuxer,
        video_type=video_type,
        audio_type=audio_type,
        tells_duration=tells_duration,
    )


MP4 = _video("mp4", "mov", "video/mp4", "audio/mp4")
M4A = _video("m4a", "mov", "video/mp4", "audio/mp4")
QUICKTIME = _video("mov", "mov", "video/quicktime", "audio/mp4")
THREE_GP = _video("3gp", "mov", "video/3gpp", "audio/3gpp")
THREE_G2 = _video("3g2", "mov", "video/3gpp2", "audio/3gpp2")
WEBM = _video("webm", "matroska", "video/webm", "audio/webm")
MATROSKA = _video("matroska", "matroska", "video/x-matroska", "audio/x-matroska")
AVI = _video("avi", "avi", "video/x-msvideo", "audio/x-msvideo")
FLV = _video("flv", "flv", "video/x-flv", "audio/x-flv")
MPEG_TS = _video("mpegts", "mpegts", "video/mp2t", "audio/mp2t")
MPEG_PS = _video("mpeg", "mpeg", "video/mpeg", "audio/mpeg")
OGG = _video("ogg", "ogg", "video/ogg", "audio/ogg")
ASF = _video("asf", "asf", "video/x-ms-wmv", "audio/x-ms-wma")
GIF = _video("gif", "gif", "image/gif", "image/gif", tells_duration=False)
WAV = _audio("wav", "wav", "audio/wav")
MP3 = _audio("mp3", "mp3", "audio/mpeg")
AAC = _audio("aac", "aac", "audio/aac")
FLAC = _audio("flac", "flac", "audio/flac")
AIFF = _audio("aiff", "aiff", "audio/aiff")
CAF = _audio("caf", "caf", "audio/x-caf")
AMR = _audio("amr", "amr", "audio/amr")
AMR_WIDE = _audio("amr-wb", "amr", "audio/amr-wb")

CONTAINERS = (
    *(MP4, M4A, QUICKTIME, THREE_GP, THREE_G2, WEBM, MATROSKA, AVI, FLV, MPEG_TS, MPEG_PS, OGG),
    *(ASF, GIF, WAV, MP3, AAC, FLAC, AIFF, CAF, AMR, AMR_WIDE),
)
DEMUXERS = tuple(sorted({container.demuxer for container in CONTAINERS}))
"""FFmpeg's names of all that may read a file of a stranger."""

VIDEO_DECODERS = (
    *("av1", "libdav1d", "cinepak", "dnxhd", "dvvideo", "ffv1", "ffvhuff", "flv", "gif", "h263"),
    *("h264", "hevc", "huffyuv", "libvpx", "libvpx-vp9", "mjpeg", "mpeg1video", "mpeg2video"),
    *("mpeg4", "mpegvideo", "msmpeg4", "msmpeg4v1", "msmpeg4v2", "png", "prores", "qtrle"),
    *("rawvideo", "svq1", "svq3", "theora", "utvideo", "vc1", "vp6", "vp6a", "vp6f", "vp8", "vp9"),
    *("wmv1", "wmv2", "wmv3"),
)
AUDIO_DECODERS = (
    *("aac", "aac_latm", "ac3", "adpcm_ima_qt", "adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "alac"),
    *("amrnb", "amrwb", "dca", "eac3", "flac", "gsm", "gsm_ms", "libopus", "mp1", "mp1float"),
    *("mp2", "mp2float", "mp3", "mp3float", "nellymoser", "opus", "pcm_alaw", "pcm_bluray"),
    *("pcm_dvd", "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le", "pcm_mulaw", "pcm_s16be"),
    *("pcm_s16le", "pcm_s24be", "pcm_s24le", "pcm_s32be", "pcm_s32le", "pcm_s8", "pcm_u8"),
    *("speex", "truehd", "vorbis", "wmalossless", "wmapro", "wmav1", "wmav2", "wmavoice"),
)
DECODERS = VIDEO_DECODERS + AUDIO_DECODERS
"""FFmpeg's names of all decoders that may see a file of a stranger."""
ALPHA_DECODERS: dict[str, Literal["libvpx", "libvpx-vp9"]] = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""By codec; FFmpeg's own decoders of these leave alpha out."""

_BEGINNINGS = (
    (b"FLV\x01", FLV),
    (b"\0\0\x01\xba", MPEG_PS),
    (b"OggS\0", OGG),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", ASF),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"fLaC", FLAC),
    (b"caff", CAF),
    (b"#!AMR\n", AMR),
    (b"#!AMR-WB\n", AMR_WIDE),
)
_RIFF_LIKE = {
    (b"RIFF", b"AVI "): AVI,
    (b"RIFF", b"WAVE"): WAV,
    (b"RF64", b"WAVE"): WAV,
    (b"FORM", b"AIFF"): AIFF,
    (b"FORM", b"AIFC"): AIFF,
}
_MOV_BOXES = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_BRANDS = {b"qt  ": QUICKTIME, b"M4A ": M4A, b"M4B ": M4A, b"M4P ": M4A}
_PICTURE_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"}
_EBML = b"\x1a\x45\xdf\xa3"
_WEBM = re.compile(rb"\x42\x82\x84webm|\x42\x82\x40\x04webm")
_TS_PACKET_BYTES = (188, 192, 204)
_TS_PACKETS = 4


def recognise(source: Descriptor) -> Container | None:
    """The container that is in an open file, or None; the position in the file is left alone."""
    first_bytes = os.pread(source, SNIFF_BYTES, 0)
    if tag_bytes := _id3_bytes(first_bytes):
        first_bytes = os.pread(source, SNIFF_BYTES, tag_bytes)
        container = sniff(first_bytes)
        return container if container in (AAC, FLAC) else MP3
    return sniff(first_bytes)


def sniff(first_bytes: bytes) -> Container | None:
    """The container of a file that starts so, or None; names and types told are no proof."""
    for beginning, container in _BEGINNINGS:
        if first_bytes.startswith(beginning):
            return container
    if (head := (first_bytes[:4], first_bytes[8:12])) in _RIFF_LIKE:
        return _RIFF_LIKE[head]
    if first_bytes.startswith(_EBML):
        return WEBM if _WEBM.search(first_bytes[:128]) else MATROSKA
    if first_bytes[4:8] == b"ftyp":
        return _sniff_brand(first_bytes[8:12])
    if first_bytes[4:8] in _MOV_BOXES:
        return QUICKTIME
    return MPEG_TS if _is_mpeg_ts(first_bytes) else _sniff_frames(first_bytes)


def _id3_bytes(first_bytes: bytes) -> int:
    """How long the tag is that players put before a file; its length has 7 bits in each byte."""
    if first_bytes[:3] != b"ID3" or len(first_bytes) < 10:
        return 0
    length = 0
    for byte in first_bytes[6:10]:
        length = length << 7 | byte & 0x7F
    return 10 + length + 10 * bool(first_bytes[5] & 0x10)


def _sniff_brand(brand: bytes) -> Container | None:
    if brand in _PICTURE_BRANDS:
        return None
    if brand[:3] in (b"3gp", b"3ge", b"3gr", b"3gs"):
        return THREE_GP
    return THREE_G2 if brand[:3] == b"3g2" else _BRANDS.get(brand, MP4)


def _is_mpeg_ts(first_bytes: bytes) -> bool:
    """A recording may begin inside a packet; whole packets follow each other at a fixed step."""
    for step in _TS_PACKET_BYTES:
        for first in range(step):
            syncs = first_bytes[first : first + step * _TS_PACKETS : step]
            if syncs == b"\x47" * _TS_PACKETS:
                return True
    return False


def _sniff_frames(first_bytes: bytes) -> Container | None:
    """Files without a container, which begin with the header of a frame of sound."""
    if len(first_bytes) < 4 or first_bytes[0] != 0xFF or first_bytes[1] & 0xE0 != 0xE0:
        return None
    version, layer = first_bytes[1] >> 3 & 3, first_bytes[1] >> 1 & 3
    if layer == 0:
        return AAC if first_bytes[1] & 0xF0 == 0xF0 and first_bytes[2] >> 2 & 15 < 13 else None
    is_valid = version != 1 and first_bytes[2] >> 4 != 15 and first_bytes[2] >> 2 & 3 != 3
    return MP3 if is_valid else None
