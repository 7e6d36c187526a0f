"""A headless Chromium for the tests: Debian's, driven by its own driver, and nothing is downloaded for it."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

WIDE = (1280, 900)
NARROW = (375, 812)
WAIT_SECONDS = 30
"""For what the page does by itself; a loaded machine takes long, and nobody measures here."""
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """One tab that looks at one node at a time."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def resize(self, size: tuple[int, int], *, is_dark: bool = False) -> None:
        """A window of this size, below the least one that the program itself allows, too; nothing moves."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def visit(self, url: str, fragment: str = "#/") -> None:
        """Open a page anew and wait until nothing of it is still being fetched."""
        self.driver.get("about:blank")
        self.driver.get(f"{url}/explorer{fragment}")
        self.settle()

    def settle(self) -> None:
        """Until the node was heard and no part of the page is loading."""
        self.until(lambda: self.text("#connection") not in ("", "Connecting …"))
        self.until(lambda: not any(word in self.text("main") for word in ("Loading …", "Checking …")))

    def until(self, condition: Callable[[], Any]) -> Any:
        """The first truth that `condition` tells."""
        wait = WebDriverWait(
            self.driver, WAIT_SECONDS, 0.1, ignored_exceptions=[StaleElementReferenceException]
        )
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            raise AssertionError(f"not within {WAIT_SECONDS} s; read is:\n{self.text('body')}") from None

    def text(self, selector: str) -> str:
        """What is read there."""
        return str(self.run(f"return document.querySelector({selector!r})?.innerText ?? ''"))

    def run(self, script: str, *arguments: object) -> Any:
        """What a script tells that the page itself could not run."""
        return self.driver.execute_script(script, *arguments)

    def wait_for(self, script: str, *arguments: object) -> Any:
        """What a promise comes to; `script` is the body of an async function."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            f"(async (...given) => {{ {script} }})(...arguments)"
            ".then((found) => done([true, found]), (error) => done([false, String(error)]));"
        )
        is_good, found = self.driver.execute_async_script(wrapped, *arguments)
        assert is_good, found
        return found

    @contextmanager
    def prepared(self, script: str) -> Iterator[None]:
        """Pages that are opened meanwhile find that this script ran before them."""
        command = "Page.addScriptToEvaluateOnNewDocument"
        added = self.driver.execute_cdp_cmd(command, {"source": script})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(
            self.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    def screenshot(self, path: Path) -> None:
        """The whole page, below the fold too."""
        height = int(self.run("return document.documentElement.scrollHeight"))
        width = int(self.run("return document.documentElement.clientWidth"))
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert self.driver.save_screenshot(str(path))

    def complaints(self) -> list[str]:
        """Errors and warnings on the console since the last call; refused sources are among them."""
        logged: list[dict[str, Any]] = self.driver.get_log("browser")
        return [entry["message"] for entry in logged if entry["level"] in ("SEVERE", "WARNING")]


def programs() -> tuple[str, str]:
    """The browser and its driver; skips where one is missing."""
    browser = next(filter(None, map(shutil.which, PROGRAMS)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its driver on this machine: make browser installs them on Debian")
    return browser, driver


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile, for as long as the block."""
    browser, driver = programs()
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (
        "--headless=new",
        "--no-sandbox",  # tests may run as root, which Chromium's sandbox refuses
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-extensions",
        "--disable-background-networking",
        "--no-first-run",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        f"--window-size={WIDE[0]},{WIDE[1]}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(profile / "saved")})
    chrome = Chrome(options=options, service=ChromeService(driver))
    try:
        chrome.set_script_timeout(WAIT_SECONDS)
        yield Browser(chrome)
    finally:
        chrome.quit()
