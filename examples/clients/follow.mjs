// Follow devices without a library, in a browser or in Node 22:
// follow("http://127.0.0.1:8000", ["pillow"], console.log)

const ENDPOINT = "/socket.io/?EIO=4&transport=websocket";

/** What the server has sent: the newest entry of each device, and the position. */
class States {
  entries = new Map();
  position;
  isLost = false;

  /** What `watch` takes: continue from the position that we have. */
  request(devices) {
    return { devices, since: this.position, protocol: 2, reset: this.isLost || undefined };
  }

  apply(event) {
    if (event.reset) {
      // Our states belong to another history.
      this.entries.clear();
      this.position = undefined;
      this.isLost = false;
    }
    for (const item of event.states) this.#applyItem(item);
    const before = this.position;
    // What is not named is as before.
    const { epoch = before?.epoch, offset, scope = before?.scope } = event;
    if (this.isLost) {
      this.position = undefined; // none holds until the event with `reset` comes
    } else if (!before || scope !== before.scope || offset > before.offset) {
      this.position = { epoch, offset, scope };
    }
  }

  #applyItem(item) {
    const { device, offset, from, patch, gone } = item;
    const held = this.entries.get(device);
    if (gone) {
      this.entries.delete(device); // we may not read it any more
    } else if (offset <= (held?.offset ?? 0)) {
      // A newer one has overtaken it.
    } else if (from === undefined) {
      this.entries.set(device, item);
    } else if (from === held?.version) {
      this.entries.set(device, { ...item, state: merge(held.state, patch) });
    } else {
      this.isLost = true; // a patch of a version that we do not have
    }
  }

  present() {
    const states = [...this.entries].map(([device, { state }]) => [device, state]);
    return new Map(states.filter(([, state]) => state !== null));
  }
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** RFC 7396. A Map, so that no name reaches a prototype. */
function merge(target, patch) {
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, merge(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

export function follow(address, devices, show) {
  const states = new States();

  function open() {
    const socket = new WebSocket(address.replace(/^http/, "ws") + ENDPOINT);
    let timeout = 10_000;
    let timer;

    function reconnect() {
      clearTimeout(timer);
      socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
      // A random pause: after a restart of the server all its clients reconnect.
      setTimeout(open, 500 + 1500 * Math.random());
    }

    function watch() {
      socket.send("421" + JSON.stringify(["watch", states.request(devices)]));
    }

    function receive(packet) {
      if (packet[0] === "0") {
        // Opened: join the namespace.
        const { pingInterval, pingTimeout } = JSON.parse(packet.slice(1));
        timeout = pingInterval + pingTimeout;
        socket.send("40");
      } else if (packet === "2") {
        socket.send("3"); // a ping, and its answer
      } else if (packet.startsWith("40")) {
        watch(); // joined
      } else if (/^(44|431\[\{"error")/.test(packet)) {
        throw new Error(packet.slice(2)); // refused, with a sentence
      } else if (packet.startsWith('42["states",')) {
        const wasLost = states.isLost;
        states.apply(JSON.parse(packet.slice(2))[1]);
        if (states.isLost && !wasLost) watch();
        show(states.present());
      }
    }

    function restartTimer() {
      clearTimeout(timer);
      timer = setTimeout(reconnect, timeout); // a longer silence: the connection is dead
    }

    restartTimer();
    socket.onmessage = ({ data }) => {
      receive(data);
      restartTimer();
    };
    socket.onclose = socket.onerror = reconnect;
  }

  open();
}
