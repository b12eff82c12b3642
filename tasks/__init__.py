"""The tasks that Dragon ships; a package of one's own looks just like this one."""

MODULES = (
    "tasks.audio.beats",
    "tasks.audio.convert",
    "tasks.audio.info",
    "tasks.audio.waveform",
    "tasks.hello",
    "tasks.html.scrape",
    "tasks.image.convert",
    "tasks.image.face",
    "tasks.image.gif",
    "tasks.image.info",
    "tasks.image.saliency",
    "tasks.image.smartcrop",
    "tasks.image.strip",
    "tasks.image.thumb",
    "tasks.image.thumbs",
    "tasks.media.pipeline",
    "tasks.video.concat",
    "tasks.video.convert",
    "tasks.video.hls",
    "tasks.video.info",
    "tasks.video.preview",
    "tasks.video.rendition",
    "tasks.video.reverse",
    "tasks.video.strip",
    "tasks.video.thumb",
)
"""Every module that holds a task."""

WARM = (
    "tasks.toolkit.pictures.vips",
    "tasks.toolkit.pictures.framing",
    "tasks.toolkit.pictures.saving",
)
"""What decoder children import when they start, before a job waits for them."""

WARM_ENVIRONMENT = {
    "VIPS_CONCURRENCY": "1",
    "VIPS_BLOCK_UNTRUSTED": "1",
    "VIPS_DISC_THRESHOLD": "1000g",
    "VIPS_WARNING": "0",
}
"""What libvips reads when it is loaded: one thread for a picture, as there is a child for each
core; no loader that nobody hardened against hostile files; no temporary files for large pictures,
as a child cannot write any; and no warnings, whatever the value."""
