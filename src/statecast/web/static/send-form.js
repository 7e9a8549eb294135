// The form that sends a change of any device, and shows the command that would do the same.
import { find, setAttributes, setText } from "./dom.js";
import { editState } from "./edit-api.js";

const FIELD = /([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)/g;

/**
 * `on=true name="two words"` as an object; values are JSON where they can be.
 * @param {string} line
 * @returns {Record<string, any>}
 */
export function parseFields(line) {
  const fields = Object.create(null);
  for (const [, name, value] of line.matchAll(FIELD)) {
    fields[name] = parseValue(value);
  }
  return fields;
}

/**
 * The fields of a line as words for a shell.
 * @param {string} line
 * @returns {string}
 */
export function shellWords(line) {
  const fields = [...line.matchAll(FIELD)].map(([word]) => shellWord(word));
  return fields.join(" ");
}

/**
 * A word that a POSIX shell reads as this text, quoted only where it must be (like `shlex.quote`).
 * @param {string} text
 * @returns {string}
 */
export function shellWord(text) {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", `'"'"'`)}'`;
}

/** @param {string} text */
function parseValue(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

export class SendForm {
  #form = find("#send form", document, HTMLFormElement);
  #input = find("input", this.#form, HTMLInputElement);
  #command = find("code", this.#form);
  #answer = find("#answer");

  /** @param {string} device */
  constructor(device) {
    this.device = device;
    this.#input.addEventListener("input", () => {
      setText(this.#command, `${this.#command.dataset.words} ${shellWords(this.#line)}`);
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
  }

  get #line() {
    return this.#input.value || this.#input.placeholder;
  }

  async #send() {
    const state = parseFields(this.#line);
    if (!Object.keys(state).length) {
      setText(this.#answer, "Write fields like on=true.");
      return;
    }
    setAttributes(this.#answer, { role: undefined });
    setText(this.#answer, "Sending…");
    const { version, error } = await editState(this.device, state);
    if (error) setAttributes(this.#answer, { role: "alert" });
    setText(this.#answer, error ? `Not sent: ${error} Try again` : `Saved: version ${version}.`);
  }
}
