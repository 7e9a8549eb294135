// The form that sends a change of any device, and shows the command that would do the same.
import { find, setAttributes, setText } from "./dom.js";
import { sendState } from "./message-api.js";

/**
 * `on=true name="two words"` as an object; values are JSON where they can be.
 * @param {string} line
 * @returns {Record<string, any>}
 */
export function parseFields(line) {
  const fields = Object.create(null);
  for (const [, name, value] of line.matchAll(/([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)/g)) {
    fields[name] = parseValue(value);
  }
  return fields;
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
      const { program } = this.#command.dataset;
      setText(this.#command, `${program} send ${device} ${this.#line}`);
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
    const { error } = await sendState(this.device, state);
    if (error) setAttributes(this.#answer, { role: "alert" });
    const sent = "In the queue. The page changes when it comes back.";
    setText(this.#answer, error ? `Not sent: ${error} Try again` : sent);
  }
}
