// A static model: a text's vector is the mean of its tokens' vectors. Runs in browsers and in Node.
//
//     import { loadModel } from "./model.js";
//     const model = await loadModel(async (name) => (await fetch(name)).arrayBuffer());
//     model.encode("a fine day"); // Float32Array

import { Tokenizer } from "./tokenizer.js";

/** The version of the folder's layout that this code reads. */
const FORMAT = 1;

const ARRAYS = { F64: Float64Array, F32: Float32Array, F16: Uint16Array, U32: Uint32Array, I8: Int8Array };

/** What is wrong with the files of a model, in words for the page. */
export class ModelError extends Error {}

const REMEDY = "Copy the whole folder to the server again.";

/**
 * @typedef {object} Tensor
 * @property {string} dtype
 * @property {number[]} shape
 * @property {Float64Array | Float32Array | Uint16Array | Uint32Array | Int8Array} values
 */

/**
 * The tensors of a safetensors file, by name.
 * @param {ArrayBuffer} buffer
 * @param {string} name of the file, in errors
 * @returns {Record<string, Tensor>}
 */
export function readTensors(buffer, name) {
  try {
    const start = 8 + Number(new DataView(buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
    delete header.__metadata__;
    return Object.fromEntries(Object.entries(header).map(([key, about]) => [key, tensor(buffer, start, about)]));
  } catch {
    throw new ModelError(`${name}: expected a safetensors file; found something else. ${REMEDY}`);
  }
}

/** A tensor of a header, checked; throws if it lies outside of the file. */
function tensor(buffer, start, { dtype, shape, data_offsets: [first, last] }) {
  const Values = ARRAYS[dtype];
  const size = shape.reduce((product, count) => product * count, 1);
  if (last - first !== size * Values.BYTES_PER_ELEMENT) throw new RangeError();
  const isAligned = (start + first) % Values.BYTES_PER_ELEMENT === 0; // as a view must be
  const values = isAligned
    ? new Values(buffer, start + first, size)
    : new Values(buffer.slice(start + first, start + last), 0, size);
  return { dtype, shape, values };
}

/** The numbers that float16 can hold, by their bits. */
let halves;

function float16Values() {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    let value = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
    if (exponent === 31) value = fraction ? NaN : Infinity;
    halves[bits] = bits & 0x8000 ? -value : value;
  }
  return halves;
}

/** A model. `loadModel` makes one of the files of a folder. */
export class Model {
  /**
   * @param {any} settings the content of model.json
   * @param {Tokenizer} tokenizer
   * @param {Record<string, Tensor>} tensors
   */
  constructor(settings, tokenizer, tensors) {
    this.settings = settings;
    this.tokenizer = tokenizer;
    this.dim = settings.dim;
    const { embeddings, weights, mapping } = tensors;
    const rows = embeddings?.shape[0];
    const fits =
      embeddings?.shape.length === 2 &&
      tokenizer.size <= settings.n_tokens &&
      embeddings.shape[1] === this.dim &&
      (mapping ? mapping.values.length : rows) === settings.n_tokens &&
      (!weights || weights.values.length === settings.n_tokens) &&
      (!mapping || mapping.values.every((row) => row < rows));
    if (!fits) {
      throw new ModelError(`table.safetensors does not fit the other files. ${REMEDY}`);
    }
    this.table = embeddings.values;
    this.halves = embeddings.dtype === "F16" ? float16Values() : null;
    this.weights = weights?.values;
    this.mapping = mapping?.values;
    // numpy multiplies a row by its weight in the precision of the sums, float32 for all tables but float64 ones.
    this.round = embeddings.dtype === "F64" ? (value) => value : Math.fround;
  }

  /**
   * The vector of a text; zeros for a text of which the model knows no token.
   * @param {string} text
   * @returns {Float32Array}
   */
  encode(text) {
    const { dim, table, halves, round } = this;
    const ids = this.tokenizer.ids(text, this.settings.max_length);
    const sum = new Float64Array(dim);
    for (const id of ids) {
      const start = (this.mapping ? this.mapping[id] : id) * dim;
      const weight = this.weights ? this.weights[id] : 1;
      for (let i = 0; i < dim; i++) {
        const value = table[start + i];
        sum[i] += round((halves ? halves[value] : value) * weight);
      }
    }
    const scale = this.settings.normalize ? length(sum) : ids.length;
    return Float32Array.from(sum, (value) => (scale ? value / scale : 0));
  }

  /** The vector of a query, with the model's prompt before it. @param {string} text */
  encodeQuery(text) {
    return this.encode(this.settings.prompts.query + text);
  }

  /** The vector of a document, with the model's prompt before it. @param {string} text */
  encodeDocument(text) {
    return this.encode(this.settings.prompts.document + text);
  }
}

/** @param {ArrayLike<number>} vector */
function length(vector) {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) sum += vector[i] * vector[i];
  return Math.sqrt(sum);
}

/** Texts with their vectors, to be ranked. */
export class Documents {
  /**
   * @param {string[]} texts
   * @param {Float32Array} vectors of unit length, one after the other; zeros for a text that is never found
   */
  constructor(texts, vectors) {
    this.texts = texts;
    this.vectors = vectors;
  }

  /** Documents of texts, which are embedded. @param {Model} model @param {string[]} texts */
  static of(model, texts) {
    const vectors = new Float32Array(texts.length * model.dim);
    texts.forEach((text, index) => {
      const vector = model.encodeDocument(text);
      const norm = length(vector);
      if (norm) vectors.set(vector.map((value) => value / norm), index * model.dim);
    });
    return new Documents(texts, vectors);
  }

  /**
   * The documents that are most similar to a query by cosine, the best first. A vector of zeros finds nothing, and is
   * not found.
   * @param {Float32Array} query a vector
   * @param {number} most how many, 1 or more
   * @returns {{index: number, text: string, score: number}[]}
   */
  ranked(query, most) {
    const norm = length(query);
    if (!norm) return [];
    const { texts, vectors } = this;
    const dim = query.length;
    const hits = []; // the best so far, in order
    for (let index = 0; index < texts.length; index++) {
      const start = index * dim;
      let product = 0;
      for (let i = 0; i < dim; i++) product += query[i] * vectors[start + i];
      const score = product / norm;
      if (hits.length === most && score <= hits[most - 1].score) continue;
      if (!product && !length(vectors.subarray(start, start + dim))) continue;
      const place = hits.findIndex((hit) => hit.score < score);
      hits.splice(place < 0 ? hits.length : place, 0, { index, text: texts[index], score });
      if (hits.length > most) hits.pop();
    }
    return hits;
  }
}

/**
 * A model from the files of its folder.
 * @param {(name: string) => Promise<ArrayBuffer>} read returns the bytes of a file of the folder
 * @returns {Promise<Model>}
 */
export async function loadModel(read) {
  const settings = parsed(await read("model.json"), "model.json");
  if (settings.format !== FORMAT) {
    throw new ModelError(`model.json: expected format ${FORMAT}; found ${settings.format}. Export the model again.`);
  }
  const [vocabulary, table] = await Promise.all(
    ["vocabulary.json", "table.safetensors"].map((name) => checked(read, name, settings)),
  );
  const tokenizer = new Tokenizer(parsed(vocabulary, "vocabulary.json"));
  return new Model(settings, tokenizer, readTensors(table, "table.safetensors"));
}

/**
 * The documents of a folder; null if it was exported without.
 * @param {Model} model
 * @param {(name: string) => Promise<ArrayBuffer>} read
 * @returns {Promise<Documents | null>}
 */
export async function loadDocuments(model, read) {
  const { settings, dim } = model;
  if (!settings.files["documents.json"]) return null;
  const [texts, vectors] = await Promise.all(
    ["documents.json", "documents.safetensors"].map((name) => checked(read, name, settings)),
  );
  const documents = new Documents(
    parsed(texts, "documents.json"),
    readTensors(vectors, "documents.safetensors").vectors?.values,
  );
  if (documents.vectors?.length !== documents.texts.length * dim) {
    throw new ModelError(`documents.safetensors does not fit documents.json. ${REMEDY}`);
  }
  return documents;
}

/** The bytes of a file, as many as were exported. */
async function checked(read, name, settings) {
  const buffer = await read(name);
  const expected = settings.files[name];
  if (buffer.byteLength !== expected) {
    throw new ModelError(`${name}: expected ${expected} bytes; found ${buffer.byteLength}. ${REMEDY}`);
  }
  return buffer;
}

function parsed(buffer, name) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(buffer));
  } catch {
    throw new ModelError(`${name}: expected JSON; found something else. ${REMEDY}`);
  }
}
