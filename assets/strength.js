// Says while a new password is typed whether it will be refused, by the rules of src/password/counted.rs. Common and leaked passwords
// are the server's matter: it decides when the form is sent. Nothing typed leaves the page.
const KEYBOARDS = [
  "qwertyuiopasdfghjklzxcvbnm", "qwertzuiopasdfghjklyxcvbnm", "azertyuiopqsdfghjklmwxcvbn", "qwertyuiop[]asdfghjkl;'zxcvbnm,./",
  "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0",
  "zaq1xsw2cde3vfr4bgt5nhy6mju7",
];
const STAND_INS = { 0: "o", 1: "i", 3: "e", 4: "a", 5: "s", 7: "t", "@": "a", $: "s", "!": "i" };
const [MIN_RUN, MIN_STUTTERED, MIN_INTERLEAVED, MIN_WORD, MIN_INSIDE] = [6, 8, 10, 4, 4];

const isLetter = (c) => /^\p{Alphabetic}$/u.test(c);
const isDigit = (c) => /^\p{N}$/u.test(c);
const isPlain = (c) => isLetter(c) || isDigit(c);
const isNext = (a, b) => (a === "9" && b === "0") || (a.codePointAt(0) + 1 === b.codePointAt(0) && isPlain(a));
const STEPS = [(a, b) => a === b, isNext, (a, b) => isNext(b, a)];
const along = (keys) => (a, b) => keys.includes(a + b);
const RUNS = [...STEPS, ...KEYBOARDS.flatMap((keys) => [along(keys), (a, b) => along(keys)(b, a)])];

// Length of the longest run that starts at each place, in steps of `stride`.
const lengths = (text, stride, follows, joined) => {
  const longest = text.map(() => 1);
  for (const follow of follows) {
    const length = text.map(() => 1);
    for (let at = text.length - 1 - stride; at >= 0; at--) {
      if (joined(at) && follow(text[at], text[at + stride])) length[at] = length[at + stride] + 1;
      longest[at] = Math.max(longest[at], length[at]);
    }
  }
  return longest;
};

const withoutInterleavedRuns = (text) => {
  const longest = lengths(text, 2, STEPS, () => true);
  const left = [];
  for (let at = 0; at < text.length; ) {
    const [first, second] = [longest[at], longest[at + 1] ?? 0];
    const length = first > second ? 2 * second + 1 : 2 * first;
    const [kept, skipped] = length >= MIN_INTERLEAVED ? [2, length] : [1, 1];
    left.push(...text.slice(at, at + kept));
    at += skipped;
  }
  return left;
};

// Splits where `same` does not hold between neighbours.
const groups = (text, same) => {
  const found = [];
  text.forEach((c, at) => (at > 0 && same(text[at - 1], c) ? found.at(-1).push(c) : found.push([c])));
  return found;
};

const withoutRuns = (text) => {
  const parts = groups(text, (a, b) => a === b);
  const chars = parts.map((part) => part[0]);
  const runs = lengths(chars, 1, RUNS, (at) => parts[at].length === parts[at + 1].length);
  const left = [];
  for (let at = 0; at < parts.length; ) {
    const [run, each] = [runs[at], parts[at].length];
    const isRun = run * each >= (run > 1 && each > 1 ? MIN_STUTTERED : MIN_RUN);
    left.push(...(isRun ? [chars[at]] : parts[at]));
    at += isRun ? run : 1;
  }
  return left;
};

const withoutRepeatedWords = (text) => {
  const left = [];
  const seen = new Set();
  for (const part of groups(text, (a, b) => isPlain(a) === isPlain(b))) {
    let end = part.length;
    while (end > 0 && isDigit(part[end - 1])) end--;
    const word = part.slice(0, end);
    const name = word.join("");
    const isWord = word.length >= MIN_WORD && isPlain(word[0]);
    if (isWord && seen.has(name)) left.pop();
    else left.push(...word);
    if (isWord) seen.add(name);
    left.push(...part.slice(end));
  }
  return left;
};

// The part of a prefix that repeats its start (Knuth, Morris and Pratt).
const repetition = (text) => {
  const border = text.map(() => 0);
  let found = [0, 0];
  for (let at = 1; at < text.length; at++) {
    let length = border[at - 1];
    while (length > 0 && text[at] !== text[length]) length = border[length - 1];
    border[at] = length + Number(text[at] === text[length]);
    const [prefix, period] = [at + 1, at + 1 - border[at]];
    if (period * 2 <= prefix && prefix * 2 >= text.length && border[at] > found[1] - found[0]) found = [period, prefix];
  }
  return found;
};

const withoutRepeats = (text) => {
  const places = (isRead) => [...text.keys()].filter((at) => isRead(text[at]));
  const readings = [places(() => true), places(isPlain)];
  const letters = places(isLetter);
  if (letters.length * 3 >= text.length * 2) readings.push(letters);
  let removed = [];
  for (const read of readings) {
    const reading = read.map((at) => text[at]);
    const [start, end] = repetition([...reading].reverse());
    for (const [from, to] of [repetition(reading), [reading.length - end, reading.length - start]]) {
      if (to - from > removed.length) removed = read.slice(from, to);
    }
  }
  if (removed.length * 3 < text.length) return text;
  const gone = new Set(removed);
  return text.filter((_, at) => !gone.has(at));
};

const withoutNames = (text, names) => {
  const removals = [true, false].map((withSigns) => {
    const places = [...text.keys()].filter((at) => isPlain(text[at]) || (withSigns && text[at] in STAND_INS));
    const reading = places.map((at) => STAND_INS[text[at]] ?? text[at]);
    const isInside = (at) => at in text && isPlain(text[at]);
    const removed = new Set();
    for (let at = 0; at < places.length; ) {
      const start = places[at];
      const isWord = (name) =>
        name.every((c, offset) => text[start + offset] === c) && !isInside(start - 1) && !isInside(start + name.length);
      const begins = (name) =>
        name.every((c, offset) => reading[at + offset] === c) && (name.length >= MIN_INSIDE || isWord(name));
      const length = Math.max(0, ...names.filter(begins).map((name) => name.length));
      for (const place of places.slice(at, at + length)) removed.add(place);
      at += Math.max(length, 1);
    }
    return removed;
  });
  const gone = removals[0].size >= removals[1].size ? removals[0] : removals[1];
  return text.filter((_, at) => !gone.has(at));
};

// Code of the first rule that refuses the password; none, if none of these does.
const fault = (typed, { minLength, maxBytes, ownNames, siteNames }) => {
  if (new TextEncoder().encode(typed).length > Number(maxBytes)) return "password_too_long";
  const length = [...typed.normalize("NFC")].length;
  if (length < Number(minLength)) return "password_too_short";
  let text = [...typed.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase()];
  const folded = text.length;
  const names = (list) => list.split(" ").filter(Boolean).map((name) => [...name]);
  for (const [code, reduce] of [
    ["password_sequence", (text) => withoutRuns(withoutInterleavedRuns(text))],
    ["password_repeated", (text) => withoutRepeats(withoutRepeatedWords(text))],
    ["password_contains_name", (text) => withoutNames(text, names(ownNames))],
    ["password_contains_site", (text) => withoutNames(text, names(siteNames))],
  ]) {
    text = reduce(text);
    if (length - (folded - text.length) < Number(minLength)) return code;
  }
  return undefined;
};

for (const said of document.querySelectorAll("p.strength")) {
  const field = document.getElementById(said.dataset.for);
  field.addEventListener("input", () => {
    const code = fault(field.value, said.dataset);
    const text = field.value === "" ? "" : said.dataset[code ?? "good"];
    said.dataset.code = field.value === "" ? "" : (code ?? "good");
    // A screen reader repeats a text that is set again.
    if (said.textContent !== text) said.textContent = text;
  });
}
