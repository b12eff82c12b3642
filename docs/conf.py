"""How Sphinx builds these pages."""

from dragon import __version__

project = "Dragon"
version = release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build", "examples"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {
    "description": "A self-hosted media task server",
    "fixed_sidebar": True,
    "page_width": "1180px",
    "body_max_width": "auto",
    "code_font_size": "0.8em",
}
html_show_sourcelink = False
