// The name that was probably meant, for the console of a page's author.

/**
 * How many letters must be changed, added or left out (Levenshtein).
 * @param {string} one
 * @param {string} other
 */
function distance(one, other) {
  let row = Array.from({ length: other.length + 1 }, (_, place) => place);
  for (const letter of one) {
    let corner = row[0];
    row = [row[0] + 1, ...row.slice(1)];
    for (let place = 1; place < row.length; place++) {
      const replaced = corner + (letter === other[place - 1] ? 0 : 1);
      corner = row[place];
      row[place] = Math.min(replaced, row[place] + 1, row[place - 1] + 1);
    }
  }
  return row[row.length - 1];
}

/**
 * @param {string} name
 * @param {Iterable<string>} known
 * @returns {string | undefined} undefined if none is near.
 */
export function nearestName(name, known) {
  const most = Math.max(1, Math.floor(name.length / 3));
  /** @type {[name: string, distance: number][]} */
  const near = [];
  for (const other of known) {
    if (other === name || Math.abs(other.length - name.length) > most) continue;
    near.push([other, distance(name.toLowerCase(), other.toLowerCase())]);
  }
  near.sort((a, b) => a[1] - b[1]);
  return near[0]?.[1] <= most ? near[0][0] : undefined;
}
