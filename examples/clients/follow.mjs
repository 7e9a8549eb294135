// Follow devices without a library, in a browser or in Node 22: follow("http://127.0.0.1:8000", ["pillow"], console.log)

export function follow(address, devices, show) {
  const states = new Map();
  const offsets = new Map();
  let place;
  const open = () => {
    const socket = new WebSocket(`${address.replace(/^http/, "ws")}/socket.io/?EIO=4&transport=websocket`);
    let patience = 10_000;
    let timer;
    const lost = () => {
      clearTimeout(timer);
      socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
      setTimeout(open, 500 + 1500 * Math.random()); // not all at once: a restarted server has many to greet
    };
    const hear = (packet) => {
      if (packet[0] === "0") { // opened: join the namespace
        const { pingInterval, pingTimeout } = JSON.parse(packet.slice(1));
        patience = pingInterval + pingTimeout;
        socket.send("40");
      } else if (packet === "2") { // a ping
        socket.send("3");
      } else if (packet.startsWith("40")) { // joined: say what to watch, and what is here already
        socket.send("421" + JSON.stringify(["watch", { devices, since: place, protocol: 1 }]));
      } else if (/^(44|431\[\{"error")/.test(packet)) { // refused, in a sentence
        throw new Error(packet.slice(2));
      } else if (packet.startsWith('42["states",')) {
        const news = JSON.parse(packet.slice(2))[1];
        if (news.reset) { // what is here is of another history
          states.clear();
          offsets.clear();
          place = undefined;
        }
        for (const { device, offset, state } of news.states) {
          if (offset <= (offsets.get(device) ?? 0)) continue;
          offsets.set(device, offset);
          states.set(device, state);
        }
        if (!place || news.offset > place.offset) place = { epoch: news.epoch, offset: news.offset };
        show(new Map([...states].filter(([, state]) => state !== null)));
      }
    };
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(lost, patience); // silence for longer means that the connection is dead
    };
    wait();
    socket.onmessage = ({ data }) => {
      hear(data);
      wait();
    };
    socket.onclose = socket.onerror = lost;
  };
  open();
}
