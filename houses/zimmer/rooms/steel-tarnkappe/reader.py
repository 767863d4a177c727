"""HTML to text, title, links and images. Pure: it gets the page as a string and fetches nothing."""

from html.parser import HTMLParser

# Not `noscript`: this reader runs no scripts, so that text is meant for it.
SILENT = {"script", "style", "template"}
BLOCKS = {"p", "div", "li", "tr", "h1", "h2", "h3", "h4", "section", "header", "footer", "main", "br", "dt", "dd"}


class PageReader(HTMLParser):
    """Collects what a reader of the page meets, in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.title, self.language, self.viewport = "", "", False
        self.links: list[str] = []
        self.images: list[dict] = []
        self.pieces: list[str] = []
        self._silent = 0
        self._in_title = False

    def handle_starttag(self, tag, attributes):
        given = {name: value or "" for name, value in attributes}
        if tag in SILENT:
            self._silent += 1
        elif tag in BLOCKS:
            self.pieces.append("\n")
        if tag == "html":
            self.language = given.get("lang", "")
        elif tag == "title":
            self._in_title = True
        elif tag == "meta" and given.get("name") == "viewport":
            self.viewport = True
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "img":
            self.images.append({"src": given.get("src", ""), "alt": given.get("alt")})

    def handle_endtag(self, tag):
        if tag in SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in BLOCKS:
            self.pieces.append("\n")
        elif tag == "title":
            self._in_title = False

    def handle_data(self, data):
        if self._in_title:
            self.title += data
        elif not self._silent:
            self.pieces.append(data)


def read_page(html: str) -> dict:
    """Everything `GET /page` says about one page."""
    reader = PageReader()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).split("\n"))
    return {
        "title": reader.title.strip(),
        "language": reader.language,
        "viewport": reader.viewport,
        "links": reader.links,
        "images": reader.images,
        "text": "\n".join(line for line in lines if line),
    }
