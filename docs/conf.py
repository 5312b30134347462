"""The site: ``make docs`` builds it into build/docs, and runs every tutorial on the way."""

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "pyro_vae"
author = copyright = "the pyro_vae authors"
version = release = version_of("pyro-vae")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "answers",
    "commands",
    "docstrings",
    "mathml",
]
exclude_patterns = ["_ext", "_static"]

# Every page stands on its own: no fonts, scripts or inventories from elsewhere.
html_theme = "furo"
html_title = "pyro_vae"
html_static_path = ["_static"]
html_css_files = ["pyro_vae.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_show_sphinx = False
pygments_style = "friendly"
templates_path: list[str] = []

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# The tutorials are run at each build, in the interpreter that builds, on one core.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_number_source_lines = False
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# tqdm asks for notebook widgets, which no page needs.
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"
maximum_signature_line_length = 88

# References to public names must be right. Other libraries' cannot be looked up without a
# network, and types in signatures are named by the module that they lie in.
nitpicky = True
_PUBLIC = (
    r"pyro_vae(\.(data|errors|networks|plots|explaining|sklearn|inference(\.training\.objectives)?"
    r"|models(\.(guides|likelihoods|priors))?))?\.\w+$"
)
nitpick_ignore_regex = [(r"py:.*", rf"(?!{_PUBLIC}).*")]

copybutton_exclude = ".linenos, .gp, .go"
