// SentencePiece's character maps (`Precompiled`), a Darts double array of keys and the texts that replace them.

/**
 * A function that replaces what a map has: a cluster of up to five bytes, or else each character of it, by the text
 * of the shortest key that it begins with.
 * @param {string} encoded the map in base64
 * @returns {(text: string) => string}
 */
export function charsMap(encoded) {
  const data = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
  if (!data.length) return (text) => text;
  const view = new DataView(data.buffer);
  const size = view.getUint32(0, true);
  const texts = data.subarray(4 + size);
  const unit = (index) => (index < size >> 2 ? view.getUint32(4 + 4 * index, true) : 0);
  const base = (index) => (index ^ ((unit(index) >>> 10) << ((unit(index) & 0x200) >>> 6))) >>> 0;
  const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];

  /** The text for some bytes, or undefined. */
  function replaced(bytes) {
    let at = 0;
    for (const byte of bytes) {
      if (!byte) return undefined;
      at = (base(at) ^ byte) >>> 0;
      if (((unit(at) & 0x800000ff) >>> 0) !== byte) return undefined; // another byte leads there
      if (unit(at) & 0x100) {
        const start = unit(base(at)) & 0x7fffffff;
        const end = texts.indexOf(0, start);
        return decoder.decode(texts.subarray(start, end < 0 ? undefined : end));
      }
    }
    return undefined;
  }

  const known = new Map();
  function ofChar(char) {
    if (!known.has(char)) known.set(char, replaced(encoder.encode(char)) ?? char);
    return known.get(char);
  }

  // None of these characters joins another one; to ask costs time.
  const alone = /^[ -\u02ff\u0370-\u0482\u048a-\u0530\u3041-\u3096\u30a0-\u30ff\u4e00-\u9fff]*$/;
  const clusters = new Intl.Segmenter("en", { granularity: "grapheme" });
  return (text) => {
    let out = "";
    if (alone.test(text)) {
      for (const char of text) out += ofChar(char);
      return out;
    }
    for (const { segment } of clusters.segment(text)) {
      const chars = [...segment];
      if (chars.length > 1) {
        const bytes = encoder.encode(segment);
        const whole = bytes.length < 6 ? replaced(bytes) : undefined;
        if (whole !== undefined) {
          out += whole;
          continue;
        }
      }
      for (const char of chars) out += ofChar(char);
    }
    return out;
  };
}
