#!/usr/bin/env python3
"""The admin endpoint's page in headless Chromium: it loads without console errors, shows the routes, and cuts over.

page_test.py --fake BINARY             against the made-up proxy
page_test.py --url URL --route ROUTE   against a running proxy; the route is cut over and rolled back
"""
import argparse
import shutil
import sys

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select, WebDriverWait
except ImportError:
    print("skipped: selenium is not installed")
    sys.exit(77)

from fake_proxy import fake_proxy


class Page:
    def __init__(self, url, screenshots):
        options = Options()
        options.binary_location = shutil.which("chromium")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for argument in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1500"]:
            options.add_argument(argument)
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.screenshots = screenshots
        self.driver.get(url)

    def wait(self, what, condition, seconds=60):
        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda _: condition(), f"waited for {what}")

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.wait(selector, lambda: next(iter(self.all(selector)), None))

    def text(self, selector):
        # Elements are replaced while the page polls; the browser reads them in one go.
        return self.driver.execute_script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def click(self, selector):
        self.wait(f"{selector} to be enabled", lambda: self.driver.execute_script(
            "const e = document.querySelector(arguments[0]); return e && !e.disabled && !e.hidden", selector))
        self.driver.execute_script("document.querySelector(arguments[0]).click()", selector)

    def picture(self, name):
        if self.screenshots:
            self.driver.save_screenshot(f"{self.screenshots}/{name}.png")

    def console_errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


def flip(page, route, verb, expected_home):
    card = f'article[data-route="{route}"]'
    page.click(f'{card} button[data-action="{verb}"]')
    page.wait("the gates", lambda: page.all("#dialog .gates li"))
    assert page.all("#dialog .gates li.open"), "no gate is shown as open"
    assert not page.all("#dialog .gates li.closed"), page.text("#dialog-body")
    page.picture(f"{verb}-question")
    page.click("#dialog-confirm")
    steps = set()
    def finished():
        steps.update(page.driver.execute_script(
            "return [...document.querySelectorAll('#dialog .steps li.now')].map((e) => e.textContent)"))
        return page.all("#dialog [data-result]")
    page.wait("the result", finished)
    assert page.one("#dialog [data-result]").get_attribute("data-result") == "done", page.text("#dialog-body")
    assert "Boundaries" in page.text("#dialog-body")
    page.picture(f"{verb}-result")
    page.click("#dialog-cancel")
    page.wait(f"{route} to be at home on the {expected_home}", lambda: page.all(f'{card} [data-home="{expected_home}"]'))
    return steps


def check_page(page, route):
    page.wait("the routes", lambda: page.all("article[data-route]"))
    assert page.all(f'article[data-route="{route}"]'), f"route {route} is not shown"
    assert "reachable" in page.text("#clusters")
    Select(page.one("#log-route")).select_by_value(route)
    page.wait("a spliced log", lambda: page.all("#logs svg.log"))
    page.wait("a rate", lambda: "/s" in page.text("#throughput"))
    page.wait("the clients", lambda: page.text("#client-count"))
    page.picture("page")


def spans(page):
    return len(page.all("#logs details:first-of-type .partition:first-child svg.log > g"))


def check_fake_details(page):
    assert "orders-3 on the target: 3 records from offset 18,512" in page.text('[data-warning="strangers"]')
    # A client's name is text, whatever it holds.
    page.wait("the clients' table", lambda: "<b>name" in page.text("#clients"))
    assert "apache-kafka-java 4.1.0" in page.text("#clients")
    assert "2 topics, 9 partitions" in page.text('article[data-route="orders"]')
    page.wait("three segments", lambda: spans(page) == 3)


def run(url, route, fake, screenshots):
    page = Page(url, screenshots)
    try:
        check_page(page, route)
        if fake:
            check_fake_details(page)
        before = spans(page)
        seen = flip(page, route, "cutover", "target")
        page.wait("one more segment", lambda: spans(page) == before + 1)
        if fake:
            assert {"drain", "boundary", "record"} <= seen, f"steps seen: {seen}"
        flip(page, route, "rollback", "source")
        page.wait("two more segments", lambda: spans(page) == before + 2)
        errors = page.console_errors()
        assert not errors, errors
        print(f"page: passed against {url}")
    finally:
        page.driver.quit()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fake", help="the binary of the made-up proxy")
    parser.add_argument("--url", help="of a running proxy's admin endpoint")
    parser.add_argument("--route", default="default")
    parser.add_argument("--screenshots", help="a folder to leave pictures in")
    arguments = parser.parse_args()
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        print("skipped: chromium and chromedriver are not installed")
        return 77
    if arguments.url:
        run(arguments.url, arguments.route, False, arguments.screenshots)
        return 0
    with fake_proxy(arguments.fake) as address:
        run(f"http://{address}/", "orders", True, arguments.screenshots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
