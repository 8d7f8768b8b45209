"""Pages that commands write. They share the look of page.html.j2."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def page_template(file: Path) -> "jinja2.Template":
    """Return the template of a page, which extends `page.html.j2`.

    Values are escaped, and a missing value is an error. The filter `grouped` writes numbers with commas.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([file.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["grouped"] = lambda number: f"{number:,}"
    return environment.get_template(file.name)
