// Characters as the tokenizers library sees them: classes, lower case and normal forms.
//
// Nothing here depends on the version of Unicode that the engine knows: see unicode.js.

import * as tables from "./unicode.js";

/** A class of characters: its ranges, in order. */
class Ranges {
  /** @param {string} text a constant of unicode.js */
  constructor(text) {
    const numbers = text.split(" ").map((word) => parseInt(word, 36));
    this.firsts = [];
    this.lasts = [];
    for (let i = 0, end = 0; i < numbers.length; i += 2) {
      this.firsts.push(end + numbers[i]);
      end += numbers[i] + numbers[i + 1] + 1;
      this.lasts.push(end - 1);
    }
  }

  /** Whether a character, of one code point, is in the class. @param {string} char */
  has(char) {
    const code = char.codePointAt(0);
    let low = 0;
    let high = this.firsts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lasts[middle] < code) low = middle + 1;
      else high = middle;
    }
    return low < this.firsts.length && this.firsts[low] <= code;
  }

  /** The class as a part of a regular expression in brackets, with the flag u. */
  get source() {
    const escaped = (code) => `\\u{${code.toString(16)}}`;
    return this.firsts.map((first, i) => `${escaped(first)}-${escaped(this.lasts[i])}`).join("");
  }
}

export const control = new Ranges(tables.CONTROL);
export const blank = new Ranges(tables.BLANK);
export const chinese = new Ranges(tables.CHINESE);
export const accent = new Ranges(tables.ACCENT);
export const mark = new Ranges(tables.MARK);
export const punctuation = new Ranges(tables.PUNCTUATION);
export const white = new Ranges(tables.WHITE);
export const word = new Ranges(tables.WORD);
export const letter = new Ranges(tables.LETTER);
export const number = new Ranges(tables.NUMBER);
const inert = new Ranges(tables.INERT);

const lowercase = new Map([["\u0130", "i\u0307"]]); // the only one that becomes two
const runs = tables.LOWERCASE.split(" ").map((part) => parseInt(part, 36));
for (let i = 0; i < runs.length; i += 4) {
  const [first, count, step, difference] = runs.slice(i, i + 4);
  for (let code = first; code < first + count * step; code += step) {
    lowercase.set(String.fromCodePoint(code), String.fromCodePoint(code + difference));
  }
}

/**
 * A text in lower case, each character by itself: no rule for a sigma at the end of a word.
 * @param {string} text
 */
export function lower(text) {
  let out = "";
  for (const char of text) out += lowercase.get(char) ?? char;
  return out;
}

const inertRuns = new RegExp(`[${inert.source}]+`, "u");

/**
 * A normal form. Characters that only a newer Unicode composes or reorders stay, and divide the text.
 * @param {string} text
 * @param {"NFC" | "NFD" | "NFKC" | "NFKD"} form
 */
export function normalForm(text, form) {
  if (!inertRuns.test(text)) return text.normalize(form);
  let out = "";
  for (const part of text.split(new RegExp(`(${inertRuns.source})`, "u"))) {
    out += inertRuns.test(part) ? part : part.normalize(form);
  }
  return out;
}

/** The characters of a text that are not in a class. @param {string} text @param {Ranges} removed */
export function without(text, removed) {
  let out = "";
  for (const char of text) if (!removed.has(char)) out += char;
  return out;
}
