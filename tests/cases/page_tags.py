"""Tags of a page, and a text that a page must not take for tags."""

from html.parser import HTMLParser

HOSTILE = """<script>alert("x")</script> 'quoted' <img src=//e.example onerror=a> {{ 7 * 6 }}"""


class Tags(HTMLParser):
    """The tags of a page as a browser reads them, each with its attributes."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
