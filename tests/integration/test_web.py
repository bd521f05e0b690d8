"""Live: the page of `m2v export web` in headless Chromium, and its modules there and in Node (nox -s web)."""

from __future__ import annotations

import csv
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from awkward_texts import AWKWARD, random_texts
from conftest import make_model
from javascript import ids_in, node
from m2v_core import StaticModel
from m2v_core.tokenize.tokens import TextTokenizer
from m2v_core.web import export_web
from m2v_core.web.tokenizer import web_tokenizer
from tokenizer_files import SPACES

pytestmark = [pytest.mark.web, pytest.mark.filterwarnings("default")]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

DOCUMENTS = [
    "good day",
    "a bad day",
    "<b>sunny</b> <img src=x onerror='window.hacked = true'> days",
    "",
    "unable, bad",
    "zzz",
    "good\nsunny " + "day" * 200,
    *(f"{word} a b c{'d' * place}" for place, word in enumerate(("sun", "sunny", "good", "bad", "un", "able", "day"))),
]

Ran = Callable[..., None]
Serve = Callable[[Path], str]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A driver of a headless Chromium with a profile of its own."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver", "node")}
    missing = [name for name, path in programs.items() if path is None]
    if missing or find_spec("selenium") is None:
        pytest.skip(f"needs selenium, Chromium and Node (nox -s web); missing: {', '.join(missing) or 'selenium'}")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a folder as `python -m http.server` does, and returns the address."""
    servers: list[ThreadingHTTPServer] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def opened(browser: Any, address: str, width: int = 900) -> None:
    """Open the page and wait until it is ready, or shows an error."""
    size = {"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")  # forgets what came before
    browser.get(address)
    wait_for(browser, "return !document.getElementById('query').disabled || !document.getElementById('error').hidden")


def wait_for(browser: Any, script: str) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(script))


def typed(browser: Any, text: str, into: str = "query") -> None:
    field = browser.find_element("id", into)
    field.clear()
    field.send_keys(text)


def shown(browser: Any) -> list[tuple[str, float]]:
    """The results on the page: text and score."""
    script = "return [...document.querySelectorAll('#results li')].map((item) => [...item.children].map((x) => x.textContent))"
    return [(text, float(score)) for text, score, _ in browser.execute_script(script)]


def text_of(browser: Any, name: str) -> str:
    return str(browser.execute_script("return document.getElementById(arguments[0]).textContent", name))


def focused(browser: Any) -> str:
    """The id of the focused element, or the text of a result."""
    return str(
        browser.execute_script("const e = document.activeElement; return e.id || e.querySelector('p').textContent")
    )


def in_chromium(browser: Any, script: str, value: object) -> Any:
    """What a script prints that runs in the open page, as `javascript.node` runs it in Node."""
    whole = """
        const [input, done] = arguments;
        const load = (name) => import(new URL(name, location.href).href);
        const print = (value) => done([value, null]);
        (async () => {%s})().catch((error) => done([null, String(error.stack)]));
    """
    found, error = browser.execute_async_script(whole % script, value)
    assert error is None, error
    return found


def ranking(model: StaticModel, query: str, texts: list[str]) -> list[tuple[str, float]]:
    """The ten texts that should be shown."""
    vectors = model.encode_document(texts)
    cosines = model.similarity(model.encode_query(query), vectors)[0]
    order = [index for index in np.argsort(-cosines, kind="stable") if vectors[index].any()]
    return [(texts[index], float(cosines[index])) for index in order[:10]]


def assert_ranked(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [text for text, _ in found] == [text for text, _ in expected]
    assert np.allclose([score for _, score in found], [score for _, score in expected], atol=6e-4)  # three digits


@pytest.fixture(scope="module")
def tiny() -> StaticModel:
    model = make_model(dim=16)
    model.prompts = {"query": "good: "}
    return model


@pytest.fixture
def site(tiny: StaticModel, tmp_path: Path) -> Path:
    export_web(tiny, tmp_path / "site", documents=DOCUMENTS, name="Tiny <i>model</i>")
    return tmp_path / "site"


def test_a_query_ranks_the_documents_which_are_shown_as_text(
    browser: Any, serve: Serve, site: Path, tiny: StaticModel
) -> None:
    address = serve(site)
    opened(browser, address)
    assert text_of(browser, "name") == "Tiny <i>model</i>"
    assert "16\u00a0dimensions" in text_of(browser, "facts")
    assert f"{len(DOCUMENTS)}\u00a0documents" in text_of(browser, "facts")
    for query in ("sunny day", "unable"):
        typed(browser, query)
        assert_ranked(shown(browser), ranking(tiny, query, DOCUMENTS))
        assert "The best 10 of" in text_of(browser, "status")
        assert " ms." in text_of(browser, "status")
    assert browser.execute_script("return document.querySelectorAll('main b, main img').length") == 0
    # Nothing came from elsewhere, and the policy refused nothing that the page needs.
    entries = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    assert all(name.startswith(address) for name in browser.execute_script(entries))
    assert browser.get_log("browser") == []


def test_the_policy_refuses_scripts_of_others(browser: Any, serve: Serve, site: Path) -> None:
    opened(browser, serve(site))
    browser.execute_script("""
        const script = document.createElement("script");
        script.textContent = "window.hacked = true";
        document.body.append(script);
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hacked = true'>");
    """)
    blocked = in_chromium(browser, "print(await fetch('http://127.0.0.1:9/').catch((error) => error.name))", None)
    assert blocked == "TypeError"
    assert browser.execute_script("return window.hacked") is None
    assert "Content Security Policy" in str(browser.get_log("browser"))


def test_the_page_works_by_keyboard(browser: Any, serve: Serve, site: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> None:
        ActionChains(browser).send_keys(*keys).perform()

    opened(browser, serve(site))
    assert focused(browser) == "query"
    press("sunny")
    first, second, *_, last = [text for text, _ in shown(browser)]
    for key, expected in (
        (Keys.ARROW_DOWN, first),
        (Keys.ARROW_DOWN, second),
        (Keys.ARROW_UP, first),
        (Keys.TAB, second),
        (Keys.END, last),
        (Keys.ARROW_DOWN, last),
        (Keys.HOME, first),
        (Keys.ARROW_UP, "query"),
        (Keys.ARROW_DOWN, first),
        (Keys.ESCAPE, "query"),
    ):
        press(key)
        assert focused(browser) == expected
    press(Keys.ENTER)  # sends nothing away
    assert browser.current_url.endswith("/")
    assert shown(browser)[0][0] == first


def test_the_page_fits_a_phone(browser: Any, serve: Serve, site: Path) -> None:
    opened(browser, serve(site), width=320)
    typed(browser, "good sunny day")
    assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth]") == [320, 320]


def test_queries_without_words_find_nothing(browser: Any, serve: Serve, site: Path, tmp_path: Path) -> None:
    export_web(make_model(), tmp_path / "plain", documents=["day"])
    opened(browser, serve(tmp_path / "plain"))
    typed(browser, "zzz")
    assert (shown(browser), text_of(browser, "status")) == ([], "The model knows no word of this query.")
    typed(browser, "  ")
    assert (shown(browser), text_of(browser, "status")) == ([], "Type a query.")


def test_lines_can_be_pasted_where_there_are_no_documents(
    browser: Any, serve: Serve, tiny: StaticModel, tmp_path: Path
) -> None:
    export_web(tiny, tmp_path)
    opened(browser, serve(tmp_path))
    assert focused(browser) == "lines"
    lines = ["good day", "bad <b>day</b>", "unable"]
    typed(browser, "\n\n".join(lines), into="lines")
    typed(browser, "bad day")
    assert_ranked(shown(browser), ranking(tiny, "bad day", lines))


def test_a_file_that_is_missing_or_cut_is_an_error_on_the_page(browser: Any, serve: Serve, site: Path) -> None:
    address = serve(site)
    table = site / "table.safetensors"
    size = table.stat().st_size
    table.write_bytes(table.read_bytes()[:-4])
    opened(browser, address)
    assert text_of(browser, "error").startswith(f"table.safetensors: expected {size} bytes; found {size - 4}.")
    table.unlink()
    opened(browser, f"{address}index.html")
    assert text_of(browser, "error").startswith("table.safetensors: the server answered 404.")


def test_ids_of_all_kinds_of_tokenizers(browser: Any, serve: Serve, site: Path) -> None:
    """In the browser's version of Unicode, which is another one than Node's."""
    opened(browser, serve(site))
    texts = [*AWKWARD, *random_texts(100, seed=2)]
    kinds = {name: make() for name, make in SPACES.items()}
    found = ids_in(partial(in_chromium, browser), [(web_tokenizer(kind), texts) for kind in kinds.values()])
    for (name, kind), rows in zip(kinds.items(), found, strict=True):
        expected = [row.tolist() for row in TextTokenizer(kind).with_unknown(texts)]
        assert rows == expected, name


VECTORS = """
    const { loadModel, loadDocuments } = await load("model.js");
    const model = await loadModel(READ);
    const documents = await loadDocuments(model, READ);
    const vectors = input.map((text) => [...model.encode(text)]);
    // The least of short rounds, which other processes do not slow down.
    const queries = input.slice(-20);
    const rounds = Array.from({ length: 300 }, () => {
      const started = performance.now();
      for (const text of queries) documents.ranked(model.encodeQuery(text), 10);
      return (performance.now() - started) / queries.length;
    });
    print({ vectors, milliseconds: Math.min(...rounds) });
"""
NODE_READ = (
    'async (name) => new Uint8Array(await (await import("node:fs/promises")).readFile(new URL(name, FOLDER))).buffer'
)


@pytest.fixture(scope="module")
def sentences(own_data: Path) -> list[str]:
    """Different sentences of several languages."""
    rows = [
        row
        for file in sorted(own_data.glob("stsb-*.csv"))
        for row in csv.reader(file.read_text(encoding="utf-8").splitlines())
    ]
    found = list(dict.fromkeys(text for row in rows for text in row[:2]))
    return Random(0).sample(found, len(found))


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_vectors_of_the_real_student(
    browser: Any, serve: Serve, ran: Ran, minilm_student: Path, sentences: list[str], tmp_path: Path, dtype: str
) -> None:
    model = StaticModel.from_pretrained(minilm_student, quantize_to=dtype)
    texts = [*AWKWARD, *sentences[: 300 - len(AWKWARD)]]
    export_web(model, tmp_path, documents=sentences[300:1300])
    opened(browser, serve(tmp_path))
    folder = f"const FOLDER = {(tmp_path.as_uri() + '/')!r};"
    results = {
        "node": node(folder + VECTORS.replace("READ", NODE_READ), texts, tmp_path),
        "chromium": in_chromium(
            browser, VECTORS.replace("READ", "async (name) => (await fetch(name)).arrayBuffer()"), texts
        ),
    }
    versions = {
        "node": subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip("v\n"),
        "chromium": browser.capabilities["browserVersion"],
    }
    expected = model.encode(texts)
    for program, result in results.items():
        difference = float(np.abs(np.array(result["vectors"]) - expected).max())
        what = f"{len(texts)} texts, student in {dtype}; {result['milliseconds']:.2f} ms a query of 1,000 documents"
        ran(program, what, difference, versions[program])
        assert difference < 1e-6
