// The buttons of a device's commands, and the lines below them. A click is a wish: what became of
// it is said by the device, and comes with the event `commands`.
import { readCommand } from "./command-log.js";
import { buttonLabel, describeCommands, describeFailure } from "./command-words.js";
import { displayName } from "./device-name.js";
import {
  createElement,
  createSvgElement,
  find,
  findAll,
  findOptional,
  setAttributes,
  setText,
} from "./dom.js";

/** @import { Announcer } from "./announcer.js" */
/** @import { Device } from "./board.js" */
/** @import { CommandLog, KnownCommand } from "./command-log.js" */
/** @import { Line, Sending } from "./command-words.js" */
/** @import { Connection } from "./connection.js" */

/** Clicks that are remembered, so that their results are told as such. */
const REMEMBERED = 200;

export class CommandButtons {
  #box = find("#commands");
  #lines = findAll("#asked > p");
  /** The clicks that the server has not answered. */
  #sending = /** @type {Set<Sending>} */ (new Set());
  /** The clicks on this page by the ids of their commands. */
  #clicks = /** @type {Map<string, number>} */ (new Map());
  /** Why the last click became no command, and since when. @type {[Line, number] | undefined} */
  #failure;
  /** The result that was announced last. */
  #announced = "";

  /**
   * @param {Connection} connection
   * @param {CommandLog} log
   * @param {() => Device} currentDevice
   * @param {Announcer} announcer
   * @param {(commands: KnownCommand[]) => void} learn What to call with what the server says, and
   *   when something is to be drawn.
   */
  constructor(connection, log, currentDevice, announcer, learn) {
    this.connection = connection;
    this.board = connection.board;
    this.log = log;
    this.currentDevice = currentDevice;
    this.announcer = announcer;
    this.learn = learn;
    this.#box.addEventListener("click", ({ target }) => {
      const button = target instanceof Element ? target.closest("button") : null;
      if (button?.dataset.command) this.#give(button.dataset.command);
    });
  }

  /** @param {string} name */
  async #give(name) {
    const { board } = this;
    const clicked = board.clock();
    /** @type {Sending} */
    const sending = { since: board.now() };
    this.#sending.add(sending);
    this.#failure = undefined;
    this.learn([]);
    try {
      const command = await this.connection.command(this.currentDevice().device, name, undefined, {
        onTrouble: (sentence) => (sending.trouble = sentence),
      });
      this.#remember(command.id, clicked);
      this.learn([readCommand(command)]);
    } catch (error) {
      const { message, cause } = /** @type {Error} */ (error);
      this.#failure = [describeFailure(message, cause === "refused"), board.now()];
    }
    this.#sending.delete(sending);
    this.learn([]);
  }

  /**
   * @param {string} id
   * @param {number} at
   */
  #remember(id, at) {
    this.#clicks.set(id, at);
    if (this.#clicks.size <= REMEMBERED) return;
    const [oldest] = this.#clicks.keys();
    this.#clicks.delete(oldest);
  }

  /** Called with every frame. */
  draw() {
    this.#drawButtons();
    const { board, log } = this;
    const { newestEnd: newest } = log;
    const clicked = this.#clicks.get(newest?.id ?? "");
    const [sending] = this.#sending;
    const [failure, failedAt] = this.#failure ?? [undefined, 0];
    const lines = describeCommands({
      label: displayName(this.currentDevice()),
      now: board.now(),
      open: log.open,
      newest,
      took: clicked && newest?.known && newest.known - clicked,
      sending,
      failure: (newest?.ended ?? 0) > failedAt ? undefined : failure,
      offlineAt: board.offline ? board.lastReceivedAt : undefined,
    });
    this.#lines.forEach((element, place) => showLine(element, lines[place]));
    if (clicked && newest) this.#announce(newest, lines.at(-1));
  }

  /**
   * What became of a click on this page is announced once; a refusal announces itself.
   * @param {KnownCommand} command
   * @param {Line} [line]
   */
  #announce({ id, status }, line) {
    const result = `${id} ${status}`;
    if (!line || line.isRefusal || result === this.#announced) return;
    this.#announced = result;
    this.announcer.speak(line.word + line.rest);
  }

  #drawButtons() {
    const device = this.currentDevice();
    const { commands } = device;
    const label = displayName(device);
    const buttons = findAll("button", this.#box);
    const shown = buttons.map(({ dataset }) => dataset.command);
    if (commands && !("forbidden" in this.#box.dataset) && commands.join() !== shown.join()) {
      this.#box.replaceChildren(...commands.map((name) => createButton(name)));
      this.#box.hidden = !commands.length;
      const form = findOptional("#send");
      if (form) form.hidden = commands.length > 0;
    }
    for (const button of findAll("button", this.#box)) {
      setText(find("span", button), buttonLabel(button.dataset.command ?? "", label));
    }
  }
}

/** @param {string} name */
function createButton(name) {
  const button = createElement("button", { type: "button", "data-command": name });
  if (name === "hug") {
    const use = createSvgElement("use", { href: "#heart" });
    button.append(createSvgElement("svg", { viewBox: "-11 -10 22 20", "aria-hidden": true }, use));
  }
  button.append(createElement("span"));
  return button;
}

/**
 * @param {HTMLElement} element
 * @param {Line} [line]
 */
function showLine(element, { word, rest, isRefusal } = { word: "", rest: "" }) {
  // A screen reader announces what changes in an alert, so it is one before its words come.
  setAttributes(element, { role: isRefusal ? "alert" : undefined });
  setText(find("b", element), word);
  setText(find("span", element), rest);
}
