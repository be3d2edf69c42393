"""The order of the gallery: what a newcomer needs first, then by name."""

from sphinx_gallery.sorting import FileNameSortKey

FIRST = [
    "quickstart",
    "raw_table",
    "table_pipeline",
    "text",
    "image_folder",
    "image_features",
    "review",
    "audit",
    "own_model",
    "which_method",
]


class NewcomersFirst(FileNameSortKey):
    """Sort by the place in `FIRST`, then by name."""

    def __call__(self, filename: str) -> tuple[int, str]:
        """Return the key of a script."""
        name = filename.removeprefix("plot_").removesuffix(".py")
        return (FIRST.index(name) if name in FIRST else len(FIRST), name)
