// The page of a family: hugs and what becomes of them, waves, and who is here.
import { bind } from "/statecast/bind.js";
import { formatDuration } from "/statecast/statecast.js";

const SHOWN = 5;
const main = document.querySelector("main");
const { family, device } = main.dataset;
const find = (selector) => document.querySelector(selector);
const nameField = find("#hug input");
const live = bind();

/** The hugs of everybody, by id. */
const hugs = new Map();
/** Clicks of this page that the server does not have yet, and why not. */
const unsent = { count: 0, why: "" };

/** For how long a hug is wanted. */
const seconds = () => Number(main.dataset.expires);
const myName = () => nameField.value.trim() || undefined;

// What becomes of a hug. Only the pillow itself makes it "felt".

const ENDS = {
  waiting: (hug) => `waiting for the cloud, ${age(hug)}`,
  delivered: (hug) => `waiting for the cloud, ${age(hug)}`,
  done: (hug) => `felt after ${duration(time(hug.ended_at) - time(hug.created_at))}`,
  refused: (hug) => `not felt: ${hug.reason ?? "the cloud refused"}`,
  expired: () => "gave up: it never left, and was not felt",
  unanswered: () => "gave up: no answer, it may have been felt",
};
const time = (text) => Date.parse(text);
const duration = (ms) => (ms < 1000 ? `${ms} ms` : formatDuration(ms));
const age = (hug) => formatDuration(Math.max(0, live.board.now() - time(hug.created_at)));

let isDue = false;

/** Many hugs at once are shown in one frame. */
function showSoon() {
  if (!isDue) requestAnimationFrame(show);
  isDue = true;
}

function show() {
  isDue = false;
  const newest = [...hugs.values()].sort((a, b) => time(b.created_at) - time(a.created_at));
  const waiting = newest.filter(({ status }) => status === "waiting" || status === "delivered");
  for (const hug of newest.slice(SHOWN)) if (!waiting.includes(hug)) hugs.delete(hug.id);
  find("#hugs").replaceChildren(...newest.slice(0, SHOWN).map(line));
  find("#said").textContent = [
    unsent.count && `${plural(unsent.count, "hug")} not sent yet. ${unsent.why}`,
    waiting.length && `${plural(waiting.length, "hug")} on the way.`,
  ]
    .filter(Boolean)
    .join(" ");
  const { key, since } = live.board.verdict(live.board.devices.get(device) ?? { changed: 0 });
  const silence = formatDuration(live.board.now() - since);
  find("#silence").textContent = key === "silent" ? `Silent for ${silence}: is its plug out?` : "";
}

function line(hug) {
  const item = document.createElement("li");
  item.dataset.status = hug.status;
  item.textContent = `${hug.by ?? "Somebody"}'s ${hug.name}: ${ENDS[hug.status](hug)}`;
  return item;
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

live.on("commands", (commands) => {
  for (const one of commands) {
    if (one.device === device && one.change > (hugs.get(one.id)?.change ?? 0)) hugs.set(one.id, one);
  }
  showSoon();
});
setInterval(show, 1000);

// A hug is sent until the server has it, through any cut, and counts once.

async function hug() {
  unsent.count++;
  showSoon();
  const onTrouble = (sentence) => (unsent.why = sentence);
  try {
    await live.command(device, "hug", {}, { by: myName(), expires: seconds(), onTrouble });
    unsent.why = "";
  } catch (error) {
    say(`Not sent: ${error.message}`);
  }
  unsent.count--;
  showSoon();
}

find("#hug").addEventListener("submit", (event) => {
  event.preventDefault();
  hug();
});

// Who is here, and waves.

nameField.value = localStorage.getItem("name") ?? "";
nameField.addEventListener("change", () => {
  localStorage.setItem("name", nameField.value.trim());
  join();
});

const join = () => live.emit("join", family, myName() ?? "");
live.on("link", join);

live.on("watching", (watched) => {
  const here = watched.find((one) => one.device === device);
  if (!here) return;
  const names = here.names.length ? `: ${here.names.join(", ")}` : "";
  find("#watching").textContent = `${plural(here.count, "browser")} here${names}`;
});

find("#wave").addEventListener("click", () => live.emit("wave", family, myName() ?? "Somebody"));
live.on("wave", (name) => say(`${name} waves.`));

function say(sentence) {
  const note = document.createElement("p");
  note.className = "note";
  note.role = "status";
  note.textContent = sentence;
  main.append(note);
  setTimeout(() => note.remove(), 5000);
}

// A note is sent as any form; the page stays.

find("#note").addEventListener("submit", (event) => {
  event.preventDefault();
  const body = new URLSearchParams(new FormData(event.target));
  if (myName()) body.set("by", myName());
  fetch(event.target.action, { method: "POST", body, headers: { Accept: "application/json" } }).then(
    ({ ok }) => (ok ? event.target.reset() : say("The note was not taken.")),
    () => say("The note was not sent: the server cannot be reached."),
  );
});
