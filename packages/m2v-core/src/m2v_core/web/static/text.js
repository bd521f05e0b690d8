// From a text to its words: the normalizers and pre-tokenizers of a tokenizer.json.
//
// Every function that a step becomes maps a text to a text (normalizers) or to words (pre-tokenizers), as the
// tokenizers library does. `m2v export web` has checked that each step is of a kind below.

import * as characters from "./characters.js";
import { charsMap } from "./charsmap.js";

const { white } = characters;

/** @type {Record<string, (step: any) => (text: string) => string>} */
const NORMALIZERS = {
  BertNormalizer: (step) => (text) => {
    if (step.clean_text) text = cleaned(text);
    if (step.handle_chinese_chars) text = spacedChinese(text);
    if (step.strip_accents) text = characters.without(characters.normalForm(text, "NFD"), characters.accent);
    return step.lowercase ? characters.lower(text) : text;
  },
  Lowercase: () => characters.lower,
  NFC: () => (text) => characters.normalForm(text, "NFC"),
  NFD: () => (text) => characters.normalForm(text, "NFD"),
  NFKC: () => (text) => characters.normalForm(text, "NFKC"),
  NFKD: () => (text) => characters.normalForm(text, "NFKD"),
  Precompiled: (step) => charsMap(step.charsmap),
  Prepend: (step) => (text) => (text ? step.text + text : text),
  Replace: (step) => (text) => text.split(step.old ?? / {2,}/).join(step.new),
  Strip: (step) => (text) => stripped(text, step.left, step.right),
  StripAccents: () => (text) => characters.without(text, characters.mark),
};

/**
 * Normalizers, one after the other.
 * @param {any[]} steps
 * @returns {(text: string) => string}
 */
export function normalizer(steps) {
  const parts = steps.map((step) => NORMALIZERS[step.type](step));
  return (text) => parts.reduce((done, part) => part(done), text);
}

function cleaned(text) {
  let out = "";
  for (const char of text) {
    if (!characters.control.has(char)) out += characters.blank.has(char) ? " " : char;
  }
  return out;
}

function spacedChinese(text) {
  let out = "";
  for (const char of text) out += characters.chinese.has(char) ? ` ${char} ` : char;
  return out;
}

function stripped(text, left, right) {
  const chars = [...text];
  let start = 0;
  let end = chars.length;
  while (left && start < end && white.has(chars[start])) start++;
  while (right && end > start && white.has(chars[end - 1])) end--;
  return chars.slice(start, end).join("");
}

/**
 * Pre-tokenizers take a text, and whether it is the beginning of the whole text.
 * @type {Record<string, (step: any) => (text: string, isFirst: boolean) => string[]>}
 */
const SPLITTERS = {
  BertPreTokenizer: () => bertWords,
  Whitespace: () => matches(`[${characters.word.source}]+|[^${characters.word.source}${white.source}]+`),
  WhitespaceSplit: () => matches(`[^${white.source}]+`),
  Metaspace: metaspace,
  ByteLevel: byteLevel,
  Split: (step) => matches(PATTERNS[step.pattern]),
};

/**
 * Pre-tokenizers, one after the other.
 * @param {any[]} steps
 * @returns {(text: string, isFirst: boolean) => string[]}
 */
export function splitter(steps) {
  const parts = steps.map((step) => SPLITTERS[step.type](step));
  return (text, isFirst) => {
    let words = text ? [text] : [];
    // A step that asks whether a text is the first one is the first step.
    parts.forEach((part, index) => {
      words = words.flatMap((piece) => part(piece, isFirst && index === 0));
    });
    return words;
  };
}

function matches(source) {
  const pattern = new RegExp(source, "gu");
  return (text) => text.match(pattern) ?? [];
}

/** Words between white space; a punctuation mark is a word of its own. */
function bertWords(text) {
  const words = [];
  let word = "";
  const end = () => {
    if (word) words.push(word);
    word = "";
  };
  for (const char of text) {
    if (white.has(char)) end();
    else if (characters.punctuation.has(char)) {
      end();
      words.push(char);
    } else word += char;
  }
  end();
  return words;
}

function metaspace({ replacement, scheme, split }) {
  return (text, isFirst) => {
    text = text.split(" ").join(replacement);
    const wanted = scheme === "always" || (scheme === "first" && isFirst);
    if (wanted && !text.startsWith(replacement)) text = replacement + text;
    if (!split) return [text];
    const [first, ...rest] = text.split(replacement);
    return [...(first ? [first] : []), ...rest.map((part) => replacement + part)];
  };
}

const L = characters.letter.source;
const N = characters.number.source;
const S = white.source;

// (?i:...) of the library lets U+017F be an s.
const CONTRACTIONS = "'(?:[sS\\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const REST = `| ?[^${S}${L}${N}]+[\\r\\n]*|[${S}]*[\\r\\n]+|[${S}]+(?![^${S}])|[${S}]+`;

/** The regular expressions of byte-level tokenizers. */
const PATTERNS = {
  gpt2: `'s|'t|'re|'ve|'m|'ll|'d| ?[${L}]+| ?[${N}]+| ?[^${S}${L}${N}]+|[${S}]+(?![^${S}])|[${S}]+`,
  llama3: `${CONTRACTIONS}|[^\\r\\n${L}${N}]?[${L}]+|[${N}]{1,3}${REST}`,
  qwen2: `${CONTRACTIONS}|[^\\r\\n${L}${N}]?[${L}]+|[${N}]${REST}`,
};

/** GPT-2's printable character for each byte: visible Latin-1 is itself, the rest is moved up from U+0100. */
const BYTE_CHARS = [];
for (let byte = 0, moved = 0x100; byte < 256; byte++) {
  const visible = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  BYTE_CHARS.push(String.fromCodePoint(visible ? byte : moved++));
}

function byteLevel({ prefix, regex }) {
  const words = regex ? matches(PATTERNS.gpt2) : (text) => [text];
  const encoder = new TextEncoder();
  return (text) => {
    if (prefix && !text.startsWith(" ")) text = ` ${text}`;
    return words(text).map((word) => Array.from(encoder.encode(word), (byte) => BYTE_CHARS[byte]).join(""));
  };
}
