"""A real browser, for the tests of the review page."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium: .ci/run installs it, `apt-get install chromium` does, too")
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync.sync_playwright() as playwright:
        # A container's root has no sandbox of its own.
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def tab(browser):
    """A page of its own that notes what it asks for, and what goes wrong."""
    context = browser.new_context(accept_downloads=True)
    made = context.new_page()
    made.requested, made.failures = [], []
    made.on("request", lambda request: made.requested.append(request.url))
    made.on("pageerror", lambda error: made.failures.append(str(error)))
    made.on("dialog", lambda dialog: made.failures.append(f"dialog: {dialog.message}"))
    yield made
    context.close()
