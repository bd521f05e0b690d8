// From a word to the ids of its tokens: WordPiece, Unigram, BPE and WordLevel.
//
// Each function takes the model of vocabulary.json, and returns a function from a word to ids. Ids equal those of the
// tokenizers library, the unknown token's included.

/** @type {Record<string, (model: any) => (word: string) => number[]>} */
export const MODELS = { WordPiece: wordPiece, Unigram: unigram, BPE: bpe, WordLevel: wordLevel };

/** The id of each token. @param {(string | null)[]} tokens by id @returns {Map<string, number>} */
export function idsOf(tokens) {
  const ids = new Map();
  tokens.forEach((token, id) => {
    if (token !== null) ids.set(token, id);
  });
  return ids;
}

function longest(ids) {
  let most = 0;
  for (const token of ids.keys()) most = Math.max(most, token.length);
  return most;
}

/** The longest token that a word begins with, then the longest that continues it, and so on. */
function wordPiece({ tokens, unk_id, prefix, max_chars }) {
  const ids = idsOf(tokens);
  const most = longest(ids);
  return (word) => {
    if (word.length > max_chars && [...word].length > max_chars) return [unk_id];
    const found = [];
    for (let start = 0; start < word.length; ) {
      const before = start ? prefix : "";
      let end = Math.min(word.length, start + most);
      let id;
      for (; end > start; end--) {
        id = ids.get(before + word.slice(start, end));
        if (id !== undefined) break;
      }
      if (id === undefined) return [unk_id];
      found.push(id);
      start = end;
    }
    return found;
  };
}

/** The most probable sequence of tokens (Viterbi); a character that no token has costs more than any token. */
function unigram({ tokens, scores, unk_id, byte_ids }) {
  const ids = idsOf(tokens);
  const most = longest(ids);
  const unknownScore = scores.reduce((a, b) => Math.min(a, b), Infinity) - 10;
  const starts = new Set(); // the first characters of tokens
  for (const token of ids.keys()) starts.add(token.codePointAt(0));

  function unknown(text) {
    if (ids.has(text)) return [ids.get(text)];
    const fallback = byte_ids && bytesOf(text, byte_ids);
    return fallback ?? [unk_id];
  }

  return (word) => {
    const best = new Float64Array(word.length + 1).fill(-Infinity);
    const from = new Int32Array(word.length + 1);
    const by = new Int32Array(word.length + 1);
    const reach = (end, score, start, id) => {
      if (score > best[end]) [best[end], from[end], by[end]] = [score, start, id];
    };
    best[0] = 0;
    for (let start = 0; start < word.length; ) {
      const code = word.codePointAt(start);
      const after = start + (code > 0xffff ? 2 : 1);
      let single = false;
      if (starts.has(code)) {
        for (let end = after; end <= Math.min(word.length, start + most); end++) {
          const id = ids.get(word.slice(start, end));
          if (id === undefined) continue;
          reach(end, best[start] + scores[id], start, id);
          single ||= end === after;
        }
      }
      if (!single) reach(after, best[start] + unknownScore, start, unk_id);
      start = after;
    }
    // From the end to the start; a run of unknown characters is one piece, which may be a token itself.
    const found = [];
    let runEnd = -1;
    for (let end = word.length; end > 0; end = from[end]) {
      if (by[end] === unk_id) {
        if (runEnd < 0) runEnd = end;
        if (from[end] === 0) found.push(unknown(word.slice(0, runEnd)));
        continue;
      }
      if (runEnd >= 0) found.push(unknown(word.slice(end, runEnd)));
      runEnd = -1;
      found.push([by[end]]);
    }
    return found.reverse().flat();
  };
}

/** Characters that are merged pair by pair, in the order of the merges. */
function bpe({ tokens, merges, unk_id, prefix, suffix, fuse_unk, byte_ids, whole_words }) {
  const ids = idsOf(tokens);
  const key = (left, right) => left * 2 ** 26 + right; // of two ids
  /** @type {Map<number, number>} a pair to its place among the merges */
  const ranks = new Map();
  for (let i = 0; i < merges.length; i += 3) ranks.set(key(merges[i], merges[i + 1]), i);

  /** The ids of a word's characters; an unknown one comes before the next character that is a token. */
  function symbols(word) {
    const found = [];
    const chars = [...word];
    let pending = false;
    chars.forEach((char, index) => {
      const text = (index ? prefix : "") + char + (index === chars.length - 1 ? suffix : "");
      const id = ids.get(text);
      if (id !== undefined) {
        if (pending) found.push(unk_id);
        pending = false;
        found.push(id);
        return;
      }
      const fallback = byte_ids && bytesOf(text, byte_ids);
      if (fallback) found.push(...fallback);
      else if (unk_id !== null) {
        if (pending && !fuse_unk) found.push(unk_id);
        pending = true;
      }
    });
    if (pending) found.push(unk_id);
    return found;
  }

  return (word) => {
    if (whole_words && ids.has(word)) return [ids.get(word)];
    const found = symbols(word);
    const known = found.map((_, at) => rankOf(at));
    function rankOf(at) {
      if (at < 0 || at + 1 >= found.length) return Infinity;
      return ranks.get(key(found[at], found[at + 1])) ?? Infinity;
    }
    for (;;) {
      let at = -1;
      let least = Infinity;
      for (let i = 0; i < known.length; i++) {
        if (known[i] < least) [least, at] = [known[i], i];
      }
      if (at < 0) return found;
      found.splice(at, 2, merges[least + 2]);
      known.splice(at, 1);
      known[at] = rankOf(at);
      if (at) known[at - 1] = rankOf(at - 1);
    }
  };
}

function wordLevel({ tokens, unk_id }) {
  const ids = idsOf(tokens);
  return (word) => [ids.get(word) ?? unk_id];
}

/** The ids of the tokens of a text's bytes; null if one has none. */
function bytesOf(text, byteIds) {
  const found = Array.from(new TextEncoder().encode(text), (byte) => byteIds[byte]);
  return found.includes(-1) ? null : found;
}
