"""scikit-learn's HTML display: parameters, descriptions on hover, links to the pages."""

import pytest

from skts import FMambaForecaster
from tests.small import SmallClassifier


@pytest.mark.parametrize("address", ["", "https://docs.example.org/skts/"])
def test_forecaster_shows_its_parameters_and_links_where_it_knows_the_address(monkeypatch, address):
    monkeypatch.setenv("SKTS_DOCS", address)
    html = FMambaForecaster(d_model=64)._repr_mimebundle_()["text/html"]
    assert "context_length" in html
    assert ("https://docs.example.org/skts/_api/skts.FMambaForecaster.html" in html) == bool(address)
    assert ("Width of a variate" in html) == bool(address)


def test_classes_of_others_do_not_link_to_our_pages(monkeypatch):
    monkeypatch.setenv("SKTS_DOCS", "https://docs.example.org")
    assert SmallClassifier()._get_doc_link() == ""
    assert "hidden" in SmallClassifier()._repr_html_()
