// The page: loads the model, and ranks documents, or lines that the user pastes, for each query.
//
// All that comes from files or from the user is inserted as text, never as HTML.

import { Documents, loadDocuments, loadModel } from "./model.js";

const SHOWN = 10;

const [name, facts, status, error, form, linesPart, lines, query, results] = [
  "name", "facts", "status", "error", "search", "lines-part", "lines", "query", "results",
].map((id) => document.getElementById(id));

/** The bytes of a file of this folder. @param {string} file */
async function read(file) {
  const answer = await fetch(new URL(file, import.meta.url));
  if (!answer.ok) throw new Error(`${file}: the server answered ${answer.status}. Copy the whole folder to it.`);
  return answer.arrayBuffer();
}

function megabytes(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1000)}\u00a0kB` : `${(bytes / 1e6).toFixed(1)}\u00a0MB`;
}

function counted(count, what) {
  return `${count.toLocaleString("en")}\u00a0${what}${count === 1 ? "" : "s"}`;
}

function show(model, documents) {
  const { settings } = model;
  name.textContent = document.title = settings.name;
  const parts = [counted(settings.n_tokens, "token"), counted(model.dim, "dimension"), megabytes(settings.model_bytes)];
  facts.textContent = [...parts, ...(documents ? [counted(documents.texts.length, "document")] : [])].join(" · ");
}

/** The results as a list; the one with the highest score has the longest bar. */
function list(hits) {
  results.replaceChildren(
    ...hits.map(({ text, score }) => {
      const item = document.createElement("li");
      item.tabIndex = 0;
      const [body, number, bar] = ["p", "span", "i"].map((tag) => item.appendChild(document.createElement(tag)));
      body.textContent = text;
      number.textContent = score.toFixed(3);
      bar.style.width = `${Math.max(score, 0) * 100}%`;
      return item;
    }),
  );
}

/** Rank for the query that stands in its field. */
function search(model, documents) {
  const text = query.value;
  if (!text.trim() || !documents.texts.length) {
    list([]);
    status.textContent = documents.texts.length ? "Type a query." : "Paste texts, and type a query.";
    return;
  }
  const started = performance.now();
  const vector = model.encodeQuery(text);
  const hits = documents.ranked(vector, SHOWN);
  const took = performance.now() - started;
  list(hits);
  const known = vector.some((value) => value !== 0);
  status.textContent = known
    ? `The best ${hits.length} of ${counted(documents.texts.length, "text")}, in ${took.toFixed(1)} ms.`
    : "The model knows no word of this query.";
}

/** Arrow keys move between the query and the results. */
function move(event) {
  const items = [query, ...results.children];
  const place = items.indexOf(document.activeElement);
  if (place < 0) return;
  const targets = {
    ArrowDown: items[Math.min(place + 1, items.length - 1)],
    ArrowUp: items[Math.max(place - 1, 0)],
    Home: place ? items[1] : undefined,
    End: place ? items[items.length - 1] : undefined,
    Escape: place ? query : undefined,
  };
  const target = targets[event.key];
  if (!target) return;
  event.preventDefault();
  target.focus();
}

async function main() {
  status.textContent = "Loading the model …";
  const model = await loadModel(read);
  let documents = await loadDocuments(model, read);
  show(model, documents);
  if (!documents) {
    documents = new Documents([], new Float32Array(0));
    linesPart.hidden = false;
    lines.addEventListener("input", () => {
      documents = Documents.of(model, lines.value.split(/\r?\n/).filter((line) => line.trim()));
      search(model, documents);
    });
  }
  query.addEventListener("input", () => search(model, documents));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    search(model, documents);
  });
  document.addEventListener("keydown", move);
  query.disabled = false;
  (linesPart.hidden ? query : lines).focus();
  search(model, documents);
}

main().catch((problem) => {
  status.textContent = "";
  error.textContent = problem.message;
  error.hidden = false;
});
