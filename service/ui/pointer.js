// Where in a JSON text a JSON pointer (RFC 6901) points.

/** Start and end of the value that `pointer` names in `text`; of the nearest parent that is there where it names none. */
export function locate(text, pointer) {
  const path = pointer
    .split("/")
    .slice(1)
    .map((part) => part.replace(/~1/g, "/").replace(/~0/g, "~"));
  let [best, depth] = [[0, 0], -1];
  let at = 0;
  try {
    value([]);
  } catch {
    /* the text ends or breaks off here: what was found so far must do */
  }
  return best;

  function value(here) {
    space();
    const start = at;
    if (text[at] === "{")
      members(here, "}", () => {
        const name = JSON.parse(string());
        space();
        at++;
        return name;
      });
    else if (text[at] === "[") members(here, "]", (index) => String(index));
    else if (text[at] === '"') string();
    else at += /^[^,\]}\s]+/.exec(text.slice(at))[0].length;
    if (here.length > depth && here.every((part, index) => part === path[index])) [best, depth] = [[start, at], here.length];
  }

  function members(here, end, name) {
    at++;
    for (let index = 0; ; index++) {
      space();
      if (text[at] === end) break;
      if (at >= text.length) throw new Error("cut off");
      value([...here, name(index)]);
      space();
      if (text[at] === ",") at++;
    }
    at++;
  }

  function string() {
    const found = /^"(?:[^"\\]|\\.)*"/.exec(text.slice(at));
    at += found[0].length;
    return found[0];
  }

  function space() {
    at += /^\s*/.exec(text.slice(at))[0].length;
  }
}
