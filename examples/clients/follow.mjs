// Follow devices without a library, in a browser or in Node 22:
// follow("http://127.0.0.1:8000", ["pillow"], console.log)

const ENDPOINT = "/socket.io/?EIO=4&transport=websocket";

export function follow(address, devices, show) {
  const states = new Map();
  const offsets = new Map();
  let position;

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

    function receive(packet) {
      if (packet[0] === "0") {
        // Opened: join the namespace.
        const { pingInterval, pingTimeout } = JSON.parse(packet.slice(1));
        timeout = pingInterval + pingTimeout;
        socket.send("40");
      } else if (packet === "2") {
        socket.send("3"); // a ping, and its answer
      } else if (packet.startsWith("40")) {
        // Joined: watch, from the position that we have.
        const request = { devices, since: position, protocol: 1 };
        socket.send("421" + JSON.stringify(["watch", request]));
      } else if (/^(44|431\[\{"error")/.test(packet)) {
        throw new Error(packet.slice(2)); // refused, with a sentence
      } else if (packet.startsWith('42["states",')) {
        apply(JSON.parse(packet.slice(2))[1]);
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

  function apply(event) {
    if (event.reset) {
      // Our states belong to another history.
      states.clear();
      offsets.clear();
      position = undefined;
    }
    for (const { device, offset, state, gone } of event.states) {
      if (gone) {
        // We may not read it any more.
        offsets.delete(device);
        states.delete(device);
      } else if (offset > (offsets.get(device) ?? 0)) {
        offsets.set(device, offset);
        states.set(device, state);
      }
    }
    const { epoch, offset, scope } = event;
    if (!position || scope !== position.scope || offset > position.offset) {
      position = { epoch, offset, scope };
    }
    show(new Map([...states].filter(([, state]) => state !== null)));
  }

  open();
}
