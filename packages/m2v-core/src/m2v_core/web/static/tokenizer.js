// From texts to token ids: added tokens, normalizers, pre-tokenizers and the model, in this order.

import { white, word } from "./characters.js";
import { normalizer, splitter } from "./text.js";
import { MODELS } from "./words.js";

const WORDS_KEPT = 20000;

/** A tokenizer of vocabulary.json, which `m2v export web` makes of a tokenizer.json. */
export class Tokenizer {
  /** @param {any} data the content of vocabulary.json */
  constructor(data) {
    /** One more than the largest id. */
    this.size = data.added_tokens.reduce((size, { id }) => Math.max(size, id + 1), data.model.tokens.length);
    this.unknown = data.unk_id;
    this.normalize = normalizer(data.normalizers);
    this.split = splitter(data.pre_tokenizers);
    this.idsOfWord = MODELS[data.model.type](data.model);
    /** @type {Map<string, number[]>} */
    this.known = new Map();
    const normalized = data.added_tokens.filter((token) => token.normalized);
    this.raw = finder(data.added_tokens.filter((token) => !token.normalized));
    this.normalized = finder(normalized.map((token) => ({ ...token, content: this.normalize(token.content) })));
  }

  /**
   * The ids of a text: no special tokens are added, the unknown token is left out, and what is left is truncated.
   * @param {string} text
   * @param {number | null} maxLength null for no limit
   * @returns {number[]}
   */
  ids(text, maxLength = null) {
    const found = this.withUnknown(text).filter((id) => id !== this.unknown);
    return maxLength === null ? found : found.slice(0, maxLength);
  }

  /** All ids of a text, those of the unknown token included. @param {string} text @returns {number[]} */
  withUnknown(text) {
    const wellFormed = text.replace(/\p{Surrogate}/gu, "\ufffd");
    const found = [];
    this.raw(wellFormed).forEach((part, index) => {
      if (part.id !== undefined) {
        found.push(part.id);
        return;
      }
      this.normalized(this.normalize(part.text)).forEach((inner, place) => {
        if (inner.id !== undefined) found.push(inner.id);
        else for (const each of this.split(inner.text, !index && !place)) found.push(...this.ofWord(each));
      });
    });
    return found;
  }

  ofWord(each) {
    let ids = this.known.get(each);
    if (ids === undefined) {
      ids = this.idsOfWord(each);
      if (this.known.size >= WORDS_KEPT) this.known.clear();
      this.known.set(each, ids);
    }
    return ids;
  }
}

/**
 * A function that finds added tokens in a text: the longest one at the leftmost place, as the library has them.
 * @param {any[]} tokens
 * @returns {(text: string) => {text?: string, id?: number}[]}
 */
function finder(tokens) {
  if (!tokens.length) return (text) => (text ? [{ text }] : []);
  if (tokens.some((token) => !token.content)) throw new Error("An added token is empty once it is normalized.");
  const byContent = new Map(tokens.map((token) => [token.content, token]));
  const sources = [...byContent.keys()].sort((a, b) => b.length - a.length).map(escaped);
  const pattern = new RegExp(sources.join("|"), "gu");
  return (text) => {
    const parts = [];
    let done = 0;
    for (const match of text.matchAll(pattern)) {
      const token = byContent.get(match[0]);
      let start = match.index;
      let end = start + match[0].length;
      const isInside = word.has(charBefore(text, start)) || word.has(text.slice(end, end + 2) || " ");
      if (token.single_word && isInside) continue;
      if (token.lstrip) {
        while (start > done && white.has(charBefore(text, start))) start -= charBefore(text, start).length;
      }
      if (token.rstrip) {
        while (end < text.length && white.has(text[end])) end++;
      }
      if (done < start) parts.push({ text: text.slice(done, start) });
      parts.push({ id: token.id });
      done = end;
    }
    if (done < text.length) parts.push({ text: text.slice(done) });
    return parts;
  };
}

/** The character before a place in a text; a space at the beginning. */
function charBefore(text, place) {
  const pair = text.slice(Math.max(place - 2, 0), place);
  return [...pair].pop() ?? " ";
}

function escaped(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
