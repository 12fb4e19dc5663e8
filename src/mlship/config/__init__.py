"""mlship.toml and user settings, read into typed structs."""

from mlship.config.files import check_files, interpreter
from mlship.config.folders import cache_dir, data_dir
from mlship.config.load import find_project, load_project, parse_project
from mlship.config.project import Project
from mlship.config.sections import TargetSection, Tolerance

__all__ = [
    "Project",
    "TargetSection",
    "Tolerance",
    "cache_dir",
    "check_files",
    "data_dir",
    "find_project",
    "interpreter",
    "load_project",
    "parse_project",
]
