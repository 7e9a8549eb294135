// Stock clients that hold a conversation: node conversation.js ADDRESS TRANSPORTS < conversation.json
// The input has "steps" and, unless it is being recorded, "expected": how many things each client
// hears in each step. Prints for each step what each client has heard, in order.

"use strict";

const { readFileSync } = require("node:fs");
const { io } = require("socket.io-client");

const QUIET = 1500; // ms without anything heard end a step that is being recorded
const TIMEOUT = 20_000;

const [address, transports] = process.argv.slice(2);
const { steps, expected } = JSON.parse(readFileSync(0, "utf8"));
const clients = {}; // name: { socket, cookies }
const sids = {};
const heard = []; // per step: { name: [line, ...] }
let wake = () => {};

function client(name) {
  clients[name] ??= { socket: null, cookies: {} };
  return clients[name];
}

function note(name, kind, ...data) {
  const step = heard[heard.length - 1];
  const values = data.map((value) => JSON.stringify(value, bytes));
  (step[name] ??= []).push([kind, ...values].join(" "));
  wake();
}

function bytes(key, value) {
  return value?.type === "Buffer" ? `bytes ${Buffer.from(value.data).toString("hex")}` : value;
}

function connect(name, namespace = "/", options = {}) {
  const own = client(name);
  const cookie = Object.entries(own.cookies).map((pair) => pair.join("=")).join("; ");
  const more = transports === "default" ? {} : { transports: transports.split(",") };
  const socket = io(address + namespace, {
    ...more,
    ...options,
    forceNew: true,
    reconnection: false,
    extraHeaders: { ...(cookie ? { Cookie: cookie } : {}), "X-Agent": `agent of ${name}` },
  });
  own.socket = socket;
  socket.on("connect", () => {
    sids[socket.id] = `<sid of ${name}>`;
    // What a connect handler emits comes first from one server, and after it from the other.
    const step = heard[heard.length - 1];
    (step[name] ??= []).unshift("connected");
    wake();
  });
  socket.on("connect_error", (error) => note(name, "refused", error.message, error.data ?? null));
  socket.on("disconnect", (reason) => note(name, "disconnected", reason));
  socket.onAny((event, ...data) => {
    const reply = typeof data.at(-1) === "function" ? data.pop() : null;
    note(name, event, ...data);
    reply?.(`reply of ${name}`);
  });
}

async function request(name, method, path, form) {
  const own = client(name);
  const cookie = Object.entries(own.cookies).map((pair) => pair.join("=")).join("; ");
  const answer = await fetch(address + path, {
    method,
    redirect: "manual",
    headers: cookie ? { Cookie: cookie } : {},
    body: form && new URLSearchParams(form),
  });
  for (const line of answer.headers.getSetCookie()) {
    const [, key, value] = line.match(/^([^=]+)=([^;]*)/);
    own.cookies[key] = value;
  }
  note(name, `HTTP ${answer.status}`, answer.status === 200 ? (await answer.text()).trim() : "");
}

function withBytes(value) {
  return value?.hex === undefined ? value : Buffer.from(value.hex, "hex");
}

async function act(name, action, ...data) {
  if (action === "connect") connect(name, ...data);
  else if (action === "disconnect") client(name).socket.disconnect();
  else if (action === "GET" || action === "POST") await request(name, action, ...data);
  else if (action === "tell") client(name).socket.emit(...data.map(withBytes));
  else if (action === "ask") {
    const values = data.map(withBytes);
    client(name).socket.emit(...values, (...answer) => note(name, "acknowledged", ...answer));
  } else throw new Error(`there is no action ${action}`);
}

function isComplete(counts) {
  const step = heard[heard.length - 1];
  return Object.entries(counts).every(([name, count]) => (step[name]?.length ?? 0) >= count);
}

async function settled(counts) {
  const deadline = Date.now() + TIMEOUT;
  while (counts === undefined || !isComplete(counts)) {
    const wait = counts === undefined ? QUIET : deadline - Date.now();
    const again = await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait, false);
      wake = () => (clearTimeout(timer), resolve(true));
    });
    if (!again) return counts === undefined;
  }
  return true;
}

async function main() {
  for (const [number, step] of steps.entries()) {
    heard.push({});
    await act(...step);
    if (!(await settled(expected?.[number]))) break;
  }
  let text = JSON.stringify(heard);
  for (const [sid, name] of Object.entries(sids)) text = text.replaceAll(sid, name);
  console.log(text);
  for (const { socket } of Object.values(clients)) socket?.disconnect();
}

main();
